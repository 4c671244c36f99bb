// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_CHAT_TRANSCRIPT_H_
#define RWKVD_TOOLS_RWKVCTL_CHAT_TRANSCRIPT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "rwkv/v1/rwkv.pb.h"

namespace rwkvd {

// A user's message and the model's answer: the text after the template's
// "Assistant:", which usually starts with a blank. The user's message is not
// always UTF-8.
struct Turn {
  std::string user;
  std::string assistant;
};

// A conversation. A value.
struct Transcript {
  std::string template_name;  // of a chat template; the server knows which
  std::string system;         // empty: none
  std::vector<Turn> turns;
  ::rwkv::v1::ChatThinking thinking = ::rwkv::v1::CHAT_THINKING_UNSPECIFIED;
};

// The mode with this name: default, off, off_short or on. InvalidArgument lists
// the names.
absl::StatusOr<::rwkv::v1::ChatThinking> ThinkingFromName(
    absl::string_view name);

// Returns the transcript as a JSON document, with U+FFFD for invalid UTF-8.
std::string ToJson(const Transcript& transcript);

// Parses such a document. `what` names it in errors. InvalidArgument if it is
// not a valid transcript.
absl::StatusOr<Transcript> TranscriptFromJson(absl::string_view json,
                                              absl::string_view what);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_TRANSCRIPT_H_
