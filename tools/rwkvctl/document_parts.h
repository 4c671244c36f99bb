// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_DOCUMENT_PARTS_H_
#define RWKVD_TOOLS_RWKVCTL_DOCUMENT_PARTS_H_

#include <cstddef>
#include <istream>
#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// Returns a position, in [1, text.size()], at which to split `text` so that the
// split rarely falls inside a token: after the last line break that is followed
// by another character than a line break; without one, before the last UTF-8
// character. More text follows `text`, which must not be empty.
size_t CutAtToken(absl::string_view text);

// Splits a document into parts of at most kMaxBytes, each of which is tokenized
// on its own.
//
// Thread-compatible; does not own the stream.
class DocumentParts {
 public:
  static constexpr size_t kMaxBytes = 64 << 10;

  explicit DocumentParts(std::istream* in) : in_(in) {}

  // Returns the next part, or an empty string at the end of the document.
  std::string Next();

 private:
  std::istream* const in_;
  std::string rest_;  // read from the stream, but not returned yet
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_DOCUMENT_PARTS_H_
