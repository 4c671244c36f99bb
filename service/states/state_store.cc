// SPDX-License-Identifier: Apache-2.0
#include "service/states/state_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/retry_after.h"

namespace rwkvd {
namespace {

// Bounds of the time after which a client should try a full store again.
constexpr absl::Duration kMinRetryAfter = absl::Seconds(1);
constexpr absl::Duration kMaxRetryAfter = absl::Minutes(1);

}  // namespace

absl::Status NoRoom(int64_t size, int64_t bytes, int64_t max_bytes,
                    absl::Duration next_expiry) {
  return WithRetryAfter(
      WithQuota(MakeError(ErrorReason::kStateStoreFull,
                          absl::StrCat("the state store has no room for ", size,
                                       " bytes: ", bytes, " of ", max_bytes,
                                       " are in use (--state_store_mib)")),
                "state_store_mib"),
      std::clamp(next_expiry, kMinRetryAfter, kMaxRetryAfter));
}

}  // namespace rwkvd
