// SPDX-License-Identifier: Apache-2.0
#include "core/engine/named_state.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"

namespace rwkvd {
namespace {

constexpr size_t kMaxNameBytes = 64;

}  // namespace

bool IsStateName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

}  // namespace rwkvd
