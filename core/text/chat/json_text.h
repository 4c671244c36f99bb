// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_CHAT_JSON_TEXT_H_
#define RWKVD_CORE_TEXT_CHAT_JSON_TEXT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// JSON as Python's json.dumps(ensure_ascii=False) writes it, and so the filter
// `tojson` of chat templates: the keys in their order, ", " and ": " as
// separators, and no escapes but those of quotes, backslashes and control
// characters.

// How deep tools and arguments may be nested.
inline constexpr int kMaxChatJsonDepth = 32;

// `text` as a JSON string, in quotes. It must be valid UTF-8.
std::string JsonString(absl::string_view text);

// Rewrites a JSON object from an untrusted source in Python's style. Numbers
// with a fraction or exponent stay as they are written. Returns
// InvalidArgument if `text` is not a JSON object or nested too deeply.
absl::StatusOr<std::string> RewriteJsonObject(absl::string_view text);

// Returns the error of RewriteJsonObject for `text`.
absl::Status CheckJsonObject(absl::string_view text);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_CHAT_JSON_TEXT_H_
