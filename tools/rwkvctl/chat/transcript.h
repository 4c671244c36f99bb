// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_CHAT_TRANSCRIPT_H_
#define RWKVD_TOOLS_RWKVCTL_CHAT_TRANSCRIPT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// What the user said, and what the model wrote after the template's
// "Assistant:", with the blank that it usually begins with. Bytes.
struct Turn {
  std::string user;
  std::string assistant;
};

// A conversation. A value.
struct Transcript {
  std::string template_name;
  std::string system;  // empty: none
  std::vector<Turn> turns;
};

// As a JSON document, with U+FFFD for what is no UTF-8.
std::string ToJson(const Transcript& transcript);

// Back from there. InvalidArgument says what is wrong with the document, which
// `what` names.
absl::StatusOr<Transcript> TranscriptFromJson(absl::string_view json,
                                              absl::string_view what);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_TRANSCRIPT_H_
