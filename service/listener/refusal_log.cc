// SPDX-License-Identifier: Apache-2.0
#include "service/listener/refusal_log.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace rwkvd {

std::string RefusalLog::Add(absl::string_view text, absl::Duration now) {
  if (now - last_ < period_) {
    ++suppressed_;
    return "";
  }
  last_ = now;
  const int64_t before = std::exchange(suppressed_, 0);
  if (before == 0) return std::string(text);
  return absl::StrCat(text, " (and ", before, " more since the last report)");
}

}  // namespace rwkvd
