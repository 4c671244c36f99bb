// SPDX-License-Identifier: Apache-2.0
#include "service/calls/request_task.h"

#include <utility>

#include "core/base/status_macros.h"

namespace rwkvd {

absl::StatusOr<WorkPool::TaskId> AddRequestTask(
    const grpc::ByteBuffer* message, const CallEnvironment& environment,
    MonitoredCall* call,
    absl::AnyInvocable<absl::Status(RequestMessage message)> process,
    absl::AnyInvocable<void(const absl::Status& error)> end,
    int64_t bytes_per_byte_of_work) {
  RWKVD_ASSIGN_OR_RETURN(RequestMessage request,
                         RequestMessage::Take(message, environment));
  const int64_t work = request.size() / bytes_per_byte_of_work;
  call->Ref();  // the task's
  absl::StatusOr<WorkPool::TaskId> task = environment.pool->Add(
      work, [call, request = std::move(request), process = std::move(process),
             end = std::move(end)]() mutable {
        const absl::Status status = process(std::move(request));
        if (!status.ok()) end(status);
        call->Unref();
      });
  if (!task.ok()) call->Unref();
  return task;
}

}  // namespace rwkvd
