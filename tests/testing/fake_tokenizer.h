// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_FAKE_TOKENIZER_H_
#define RWKVD_TESTS_TESTING_FAKE_TOKENIZER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/text/tokenizer.h"

namespace rwkvd {

// A tokenizer with the vocabulary of a test. Encode returns no tokens.
class FakeTokenizer : public Tokenizer {
 public:
  explicit FakeTokenizer(std::vector<std::string> vocabulary,
                         std::optional<TokenId> end_of_text = std::nullopt)
      : vocabulary_(std::move(vocabulary)), end_of_text_(end_of_text) {}

  // The vocabulary "<0>", "<1>", ...
  static std::vector<std::string> Numbers(int64_t size) {
    std::vector<std::string> vocabulary;
    for (int64_t i = 0; i < size; ++i) {
      vocabulary.push_back("<" + std::to_string(i) + ">");
    }
    return vocabulary;
  }

  absl::string_view TokenBytes(TokenId id) const override {
    if (id < 0 || id >= size() || id == end_of_text_) return "";
    return vocabulary_[id];
  }
  int64_t max_bytes_per_token() const override { return 1; }
  int64_t size() const override {
    return static_cast<int64_t>(vocabulary_.size());
  }
  std::optional<TokenId> end_of_text() const override { return end_of_text_; }
  absl::string_view kind() const override { return "fake"; }

 private:
  absl::StatusOr<std::vector<TokenId>> EncodeUpTo(absl::string_view,
                                                  size_t) const override {
    return std::vector<TokenId>();
  }
  int64_t MaxWorkMemory(absl::string_view) const override { return 0; }

  const std::vector<std::string> vocabulary_;
  const std::optional<TokenId> end_of_text_;
};

}  // namespace rwkvd

#endif  // RWKVD_TESTS_TESTING_FAKE_TOKENIZER_H_
