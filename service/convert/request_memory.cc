// SPDX-License-Identifier: Apache-2.0
#include "service/convert/request_memory.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/base/error.h"
#include "core/base/retry_after.h"
#include "service/memory_budgets.h"

namespace rwkvd {
namespace {

// When a client should retry if the budget has too little left.
constexpr absl::Duration kRetryAfter = absl::Seconds(1);

}  // namespace

absl::Status ReserveMore(ByteBudget::Reservation* memory, int64_t bytes) {
  if (memory == nullptr) return absl::OkStatus();
  const int64_t all = memory->bytes() + bytes;
  if (memory->Resize(all)) return absl::OkStatus();
  return OutOfRequestMemory(all, *memory->budget());
}

absl::Status OutOfRequestMemory(int64_t bytes, const ByteBudget& budget) {
  if (bytes > budget.limit()) {
    return WithQuota(
        MakeError(ErrorReason::kMessageExceedsMemory,
                  absl::StrCat("the request takes ", bytes,
                               " bytes of memory, this server allows all "
                               "requests together ",
                               budget.limit(), "; send less in one request")),
        kRequestMemoryQuota);
  }
  const absl::Status error =
      MakeError(ErrorReason::kRequestMemoryExhausted,
                absl::StrCat("the request takes ", bytes,
                             " bytes of memory, but other requests have ",
                             budget.used(), " of the ", budget.limit(),
                             " bytes that this server allows"));
  return WithRetryAfter(WithQuota(error, kRequestMemoryQuota), kRetryAfter);
}

}  // namespace rwkvd
