// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_DOCUMENT_PARTS_H_
#define RWKVD_TOOLS_RWKVCTL_DOCUMENT_PARTS_H_

#include <cstddef>
#include <istream>
#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// Where to cut `text`, of which more is to come, so that hardly any token is
// cut: after the last line break that no other follows, else before the last
// character that begins there. In [1, text.size()]; `text` is not empty.
size_t CutAtToken(absl::string_view text);

// Reads a document in parts of at most kMaxBytes that are tokenized one by one.
//
// Thread-compatible; does not own the stream.
class DocumentParts {
 public:
  static constexpr size_t kMaxBytes = 64 << 10;

  explicit DocumentParts(std::istream* in) : in_(in) {}

  // The next part; empty at the end.
  std::string Next();

 private:
  std::istream* const in_;
  std::string rest_;  // read, and not yet part of a part
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_DOCUMENT_PARTS_H_
