// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_WORD_SPLITTER_H_
#define RWKVD_CORE_TEXT_WORD_SPLITTER_H_

#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// Splits text into words with GPT-2's pattern. Byte-level BPE merges only
// within words.
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// Owned by a tokenizer. Thread-safe (immutable).
class WordSplitter {
 public:
  WordSplitter();
  ~WordSplitter();
  WordSplitter(const WordSplitter&) = delete;
  WordSplitter& operator=(const WordSplitter&) = delete;

  // Calls on_word for each word of `text`, in order. `text` is valid UTF-8. The
  // concatenation of the words is the text, and no word is empty. Stops, and
  // returns false, when on_word returns false.
  bool Split(absl::string_view text,
             absl::FunctionRef<bool(absl::string_view)> on_word) const;

 private:
  struct Pattern;  // keeps PCRE2's macros out of this header
  const std::unique_ptr<const Pattern> pattern_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_WORD_SPLITTER_H_
