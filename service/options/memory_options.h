// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPTIONS_MEMORY_OPTIONS_H_
#define RWKVD_SERVICE_OPTIONS_MEMORY_OPTIONS_H_

#include <cstdint>

#include "absl/status/status.h"

namespace rwkvd {

// The memory of the server, and of messages. A value.
struct MemoryOptions {
  int64_t memory_limit_bytes = 0;  // 0: detected
  int32_t max_message_bytes = 16 << 20;
  // Limits of MemoryBudgets. No flag sets them.
  int64_t request_memory_bytes = int64_t{256} << 20;
  int64_t response_memory_bytes = int64_t{128} << 20;
  // What gRPC may use for connections and for messages that are incomplete. No
  // flag sets it.
  int64_t grpc_memory_bytes = int64_t{256} << 20;
};

// Sets all fields that have flags to the values of these. InvalidArgument with
// the flag, its value and the values that are allowed.
absl::Status ReadMemoryFlags(MemoryOptions* options);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPTIONS_MEMORY_OPTIONS_H_
