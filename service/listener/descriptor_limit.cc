// SPDX-License-Identifier: Apache-2.0
#include "service/listener/descriptor_limit.h"

#include <sys/resource.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace rwkvd {
namespace {

// For everything but connections.
constexpr int64_t kReservedDescriptors = 256;

// What gRPC keeps for a connection that is idle, rounded up.
constexpr int64_t kConnectionBytes = 32 << 10;
// With TLS, in addition: 60 KiB were measured for TLS 1.3.
constexpr int64_t kTlsBytes = 96 << 10;

// The part of its memory that gRPC may use for idle connections.
constexpr int64_t kConnectionsShare = 2;

constexpr int64_t kPeerShare = 4;

// The upper limit of the flags.
constexpr int64_t kMaxConnections = 1 << 20;

}  // namespace

int64_t RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  rlimit raised = limit;
  raised.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  return static_cast<int64_t>(
      std::min<rlim_t>(limit.rlim_cur, INT64_MAX));  // may be infinite
}

absl::StatusOr<ConnectionLimits> DeriveConnectionLimits(
    int64_t max_descriptors, int64_t grpc_memory_bytes, int max_connections,
    int max_connections_per_peer, bool tls) {
  const int64_t available = std::max<int64_t>(
      1, max_descriptors - std::min(kReservedDescriptors, max_descriptors / 2));
  if (max_connections > available) {
    return absl::InvalidArgumentError(
        absl::StrCat("--max_connections: ", max_connections, " is more than ",
                     available, ", which the limit of ", max_descriptors,
                     " open files allows (ulimit -n, LimitNOFILE)"));
  }
  int64_t total = max_connections;
  if (total == 0) {
    const int64_t in_memory = grpc_memory_bytes / kConnectionsShare /
                              (kConnectionBytes + (tls ? kTlsBytes : 0));
    total =
        std::clamp<int64_t>(std::min(available, in_memory), 1, kMaxConnections);
  }
  int64_t per_peer = max_connections_per_peer;
  if (per_peer == 0) per_peer = std::max<int64_t>(1, total / kPeerShare);
  return ConnectionLimits{static_cast<int>(total),
                          static_cast<int>(std::min(per_peer, total))};
}

}  // namespace rwkvd
