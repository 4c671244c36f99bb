// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_UTF8_STREAM_H_
#define RWKVD_CORE_TEXT_UTF8_STREAM_H_

#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// Makes valid UTF-8 of a stream of bytes that arrives in pieces: a character
// split across pieces is held back until it is whole; bytes that can no longer
// become a character are replaced by U+FFFD at once, one for each maximal
// ill-formed part (Unicode 15, section 3.9, "U+FFFD Substitution of Maximal
// Subparts"). The concatenated output does not depend on how the input is cut.
//
// Owned by one sequence; thread-compatible.
class Utf8Stream {
 public:
  // The text that `bytes` completes.
  std::string Append(absl::string_view bytes);

  // Ends the stream: an unfinished character becomes U+FFFD.
  std::string Finish();

  // What is held back now. A stream to which just this was given goes on as
  // this one does.
  const std::string& pending() const { return pending_; }

 private:
  std::string pending_;  // at most 3 bytes: a proper prefix of a character
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_UTF8_STREAM_H_
