// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_REQUEST_TASK_H_
#define RWKVD_SERVICE_CALLS_REQUEST_TASK_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/calls/call_environment.h"
#include "service/calls/monitored_call.h"
#include "service/calls/request_message.h"
#include "service/work_pool.h"

namespace rwkvd {

// Takes the message of `call`, and adds a task to the work pool that passes it
// to `process`, on a thread of the pool, possibly before this returns. An error
// of `process` goes to `end`. Errors are those of RequestMessage::Take and
// WorkPool::Add; then neither is called.
//
// The task holds a reference to the call. Whoever removes the task from the
// pool returns the reference. Its work is that of converting a text of
// 1 / `bytes_per_byte_of_work` of the message's size.
absl::StatusOr<WorkPool::TaskId> AddRequestTask(
    const grpc::ByteBuffer* message, const CallEnvironment& environment,
    MonitoredCall* call,
    absl::AnyInvocable<absl::Status(RequestMessage message)> process,
    absl::AnyInvocable<void(const absl::Status& error)> end,
    int64_t bytes_per_byte_of_work = 1);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_REQUEST_TASK_H_
