// SPDX-License-Identifier: Apache-2.0
#include "service/states/state_handle.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/error.h"
#include "core/base/quote.h"
#include "core/base/sha256.h"

namespace rwkvd {
namespace {

constexpr size_t kRandomDigits = 32;
constexpr size_t kTimeDigits = 12;
constexpr size_t kOwnerDigits = 12;

bool IsDigit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool IsHandle(absl::string_view text) {
  return text.size() == kRandomDigits + 1 + kTimeDigits &&
         text[kRandomDigits] == '-' &&
         std::all_of(text.begin(), text.begin() + kRandomDigits, IsDigit) &&
         std::all_of(text.end() - kTimeDigits, text.end(), IsDigit);
}

}  // namespace

std::string NewStateHandle(absl::Time expires) {
  std::random_device random;
  const int64_t ms = std::clamp<int64_t>(absl::ToUnixMillis(expires), 0,
                                         (int64_t{1} << 48) - 1);
  return absl::StrFormat("%08x%08x%08x%08x-%012x", random(), random(), random(),
                         random(), ms);
}

std::string StoredHandle(absl::string_view handle,
                         absl::string_view partition) {
  if (partition.empty() || !IsHandle(handle)) return std::string(handle);
  Sha256 owner;
  owner.UpdateWithLength("owner");
  owner.UpdateWithLength(partition);
  Sha256 state;
  state.UpdateWithLength("state");
  state.UpdateWithLength(partition);
  state.UpdateWithLength(handle);
  return absl::StrCat(owner.Hex().substr(0, kOwnerDigits),
                      state.Hex().substr(0, kRandomDigits - kOwnerDigits),
                      handle.substr(kRandomDigits));
}

absl::string_view OwnerIn(absl::string_view stored_handle) {
  return stored_handle.substr(0, kOwnerDigits);
}

std::optional<absl::Time> ExpiryOf(absl::string_view handle) {
  if (!IsHandle(handle)) return std::nullopt;
  uint64_t ms = 0;
  if (!absl::SimpleHexAtoi(handle.substr(kRandomDigits + 1), &ms)) {
    return std::nullopt;
  }
  return absl::FromUnixMillis(static_cast<int64_t>(ms));
}

absl::Status NoSuchState(absl::string_view handle, absl::Time now) {
  const auto error = [&](ErrorReason reason, absl::string_view message) {
    return WithResource(MakeError(reason, message), "state", handle);
  };
  const std::optional<absl::Time> expiry = ExpiryOf(handle);
  if (!expiry.has_value()) {
    return error(ErrorReason::kStateNotFound,
                 absl::StrCat(Quoted(handle), " is not the handle of a state"));
  }
  if (*expiry <= now) {
    return error(ErrorReason::kStateExpired,
                 absl::StrCat("the state ", handle, " expired at ",
                              absl::FormatTime(*expiry, absl::UTCTimeZone())));
  }
  return error(ErrorReason::kStateNotFound,
               absl::StrCat("this server has no state ", handle));
}

}  // namespace rwkvd
