// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_JSON_H_
#define RWKVD_CORE_BASE_JSON_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace rwkvd {

using Json = nlohmann::json;

// Limits on a JSON document. A value.
struct JsonLimits {
  size_t max_bytes = 100 << 20;
  int max_depth = 32;  // of nested arrays and objects
};

// Parses one JSON document from an untrusted source. Returns InvalidArgument,
// with line and column, if the document is malformed, longer or nested deeper
// than `limits` allow, or has duplicate keys in an object; for what a failed
// download leaves instead of a document, the message says so. `what` names the
// document in messages.
absl::StatusOr<Json> ParseJson(absl::string_view text, absl::string_view what,
                               const JsonLimits& limits = {});

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_JSON_H_
