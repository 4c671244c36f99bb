// SPDX-License-Identifier: Apache-2.0
#include "service/states/state_store.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/retry_after.h"
#include "core/base/status_macros.h"
#include "service/states/state_handle.h"

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

absl::Status NoRoomForOwner(int64_t size, int64_t bytes, int64_t max_bytes) {
  return WithRetryAfter(
      WithQuota(MakeError(ErrorReason::kStateStoreFull,
                          absl::StrCat("this identity or its group has no room "
                                       "for ",
                                       size, " bytes of states: ", bytes,
                                       " of ", max_bytes, " are in use")),
                "identity_state_store_mib"),
      kMaxRetryAfter);
}

absl::StatusOr<std::string> StateStore::Put(std::string bytes, StoreTime now,
                                            absl::Duration time_to_live) {
  std::string handle = NewStateHandle(now.system + time_to_live);
  RWKVD_RETURN_IF_ERROR(PutAs(handle, std::move(bytes), now, time_to_live,
                              std::numeric_limits<int64_t>::max()));
  return handle;
}

}  // namespace rwkvd
