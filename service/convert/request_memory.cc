// SPDX-License-Identifier: Apache-2.0
#include "service/convert/request_memory.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/base/error.h"
#include "core/base/retry_after.h"
#include "service/memory_budgets.h"

namespace rwkvd {
namespace {

// When a client should retry if the budget has too little left.
constexpr absl::Duration kRetryAfter = absl::Seconds(1);

// The error of an identity whose messages have used up their quota.
absl::Status OutOfShare(int64_t bytes, const ByteBudget& share) {
  const std::string quota =
      absl::StrCat("this identity's ", kMessageBytesQuota, "=", share.limit());
  if (bytes > share.limit()) {
    return WithQuota(
        MakeError(ErrorReason::kMessageExceedsMemory,
                  absl::StrCat("the request takes ", bytes,
                               " bytes of memory, more than ", quota,
                               " allows; send less in one request")),
        kMessageBytesQuota);
  }
  const absl::Status error =
      MakeError(ErrorReason::kQuotaExceeded,
                absl::StrCat("the request takes ", bytes,
                             " bytes of memory, but requests have ",
                             share.used(), " bytes that ", quota, " allows"));
  return WithRetryAfter(WithQuota(error, kMessageBytesQuota), kRetryAfter);
}

}  // namespace

absl::Status ReserveMore(ByteBudget::Reservation* memory, int64_t bytes) {
  if (memory == nullptr) return absl::OkStatus();
  const int64_t all = memory->bytes() + bytes;
  if (memory->Resize(all)) return absl::OkStatus();
  return OutOfRequestMemory(all, *memory->budget(), memory->share(),
                            memory->bytes());
}

absl::Status OutOfRequestMemory(int64_t bytes, const ByteBudget& budget,
                                const ByteBudget* share, int64_t held) {
  if (share != nullptr && !share->HasRoomFor(bytes - held)) {
    return OutOfShare(bytes, *share);
  }
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
