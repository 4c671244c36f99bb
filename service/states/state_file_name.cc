// SPDX-License-Identifier: Apache-2.0
#include "service/states/state_file_name.h"

#include <cstddef>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "service/states/state_handle.h"

namespace rwkvd {
namespace {

constexpr absl::string_view kEnding = ".state";
constexpr absl::string_view kDraftEnding = ".tmp";

}  // namespace

std::string StateFileName(absl::string_view handle) {
  return absl::StrCat(handle, kEnding);
}

absl::string_view HandleIn(absl::string_view name) {
  if (!absl::ConsumeSuffix(&name, kEnding)) return "";
  return ExpiryOf(name).has_value() ? name : "";
}

bool IsDraft(absl::string_view name) {
  const size_t ending = name.find(kEnding);
  return ending != absl::string_view::npos &&
         absl::EndsWith(name, kDraftEnding) &&
         ExpiryOf(name.substr(0, ending)).has_value();
}

bool IsOwnFile(absl::string_view name) {
  return !HandleIn(name).empty() || IsDraft(name);
}

std::string NewDraftName() {
  return absl::StrCat(StateFileName(NewStateHandle(absl::UnixEpoch())),
                      kDraftEnding);
}

}  // namespace rwkvd
