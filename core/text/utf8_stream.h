// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_UTF8_STREAM_H_
#define RWKVD_CORE_TEXT_UTF8_STREAM_H_

#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// Converts a stream of bytes that arrives in pieces to valid UTF-8. A character
// split across pieces is buffered until it is complete. Bytes that cannot
// become a character are replaced at once, by one U+FFFD for each maximal
// ill-formed part (Unicode 15, section 3.9, "U+FFFD Substitution of Maximal
// Subparts"). The concatenated output does not depend on how the input is
// split.
//
// Owned by one sequence; thread-compatible.
class Utf8Stream {
 public:
  // Adds `bytes` and returns the text that they complete.
  std::string Append(absl::string_view bytes);

  // Ends the stream. Returns U+FFFD if a character is incomplete, else nothing.
  std::string Finish();

  // The buffered bytes. A new stream to which they are appended continues as
  // this one does.
  const std::string& pending() const { return pending_; }

 private:
  std::string pending_;  // at most 3 bytes: a proper prefix of a character
};

// `bytes` as valid UTF-8: the output of a Utf8Stream for these bytes alone.
std::string ToUtf8(absl::string_view bytes);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_UTF8_STREAM_H_
