// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_MEMORY_BUDGETS_H_
#define RWKVD_SERVICE_MEMORY_BUDGETS_H_

#include <memory>

#include "core/base/byte_budget.h"
#include "service/options/options.h"

namespace rwkvd {

// The subjects of QuotaFailure if there are too few bytes left of `requests`
// and of `responses`.
inline constexpr char kRequestMemoryQuota[] = "request_memory";
inline constexpr char kResponseMemoryQuota[] = "response_memory";
// Those if an identity's share of them has too few left: quotas of its line in
// the token file.
inline constexpr char kMessageBytesQuota[] = "message_bytes";
inline constexpr char kUnreadBytesQuota[] = "unread_bytes";

// The memory that all calls together may use outside the engine. A call
// reserves bytes before it allocates them, and is refused with
// RESOURCE_EXHAUSTED if there are too few left.
//
// Owned by the server, and outlives all calls. Thread-safe.
struct MemoryBudgets {
  explicit MemoryBudgets(const Options& options)
      : requests(options.request_memory_bytes),
        responses(std::make_shared<ByteBudget>(options.response_memory_bytes)) {
  }

  // Request messages, from their arrival until the engine has accepted their
  // requests, whose memory it counts itself (EngineMemory).
  ByteBudget requests;
  // Responses that clients have not read yet, whether their request still runs
  // or not. Shared, since gRPC frees the last bytes of a connection after the
  // server may have gone.
  const std::shared_ptr<ByteBudget> responses;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_MEMORY_BUDGETS_H_
