// SPDX-License-Identifier: Apache-2.0
#include "tests/core/text/small_files.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace rwkvd {

using nlohmann::json;

namespace {

json ByteLevel() {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true}};
}

}  // namespace

std::string WorldLine(int id, const std::string& token) {
  std::string literal;
  for (const char c : token) {
    absl::StrAppendFormat(&literal, "\\x%02x", static_cast<uint8_t>(c));
  }
  return absl::StrCat(id, " b'", literal, "' ", token.size(), "\n");
}

std::string SmallWorldVocabulary(const std::vector<std::string>& more) {
  std::string lines;
  for (int i = 0; i < 256; ++i) {
    lines += WorldLine(i + 1, std::string(1, static_cast<char>(i)));
  }
  for (size_t i = 0; i < more.size(); ++i) {
    lines += WorldLine(static_cast<int>(257 + i), more[i]);
  }
  return lines;
}

std::string InAlphabet(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) {
    const int byte = static_cast<uint8_t>(c);
    int code = byte;
    if (byte <= 0x20) code = 0x100 + byte;
    if (byte >= 0x7F && byte <= 0xA0) code = 0x121 + byte - 0x7F;
    if (byte == 0xAD) code = 0x143;
    if (code < 0x80) {
      text.push_back(static_cast<char>(code));
    } else {
      text.push_back(static_cast<char>(0xC0 + code / 64));
      text.push_back(static_cast<char>(0x80 + code % 64));
    }
  }
  return text;
}

json SmallTokenizerJson(
    const std::vector<std::pair<std::string, std::string>>& merges) {
  json vocab = json::object();
  for (int i = 0; i < 256; ++i) {
    vocab[InAlphabet(std::string(1, static_cast<char>(i)))] = i;
  }
  json rules = json::array();
  for (const auto& [left, right] : merges) {
    rules.push_back(InAlphabet(left) + " " + InAlphabet(right));
    const int id = static_cast<int>(vocab.size());
    vocab.emplace(InAlphabet(left + right), id);
  }
  json document = {{"version", "1.0"},
                   {"truncation", nullptr},
                   {"padding", nullptr},
                   {"added_tokens", json::array()},
                   {"normalizer", {{"type", "NFC"}}},
                   {"pre_tokenizer", ByteLevel()},
                   {"post_processor", ByteLevel()},
                   {"decoder", ByteLevel()}};
  document["model"] = {{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", nullptr},
                       {"continuing_subword_prefix", nullptr},
                       {"end_of_word_suffix", nullptr},
                       {"fuse_unk", false},
                       {"vocab", vocab},
                       {"merges", rules}};
  return document;
}

json SmallWordPieceJson(const std::vector<std::string>& more) {
  json vocab = {{"<|endoftext|>", 0}};
  for (int i = 0; i < 256; ++i) {
    vocab[InAlphabet(std::string(1, static_cast<char>(i)))] = i + 1;
  }
  for (size_t i = 0; i < more.size(); ++i) vocab[InAlphabet(more[i])] = 257 + i;
  json document = SmallTokenizerJson();
  document["normalizer"] = nullptr;
  document["pre_tokenizer"]["use_regex"] = false;
  document["post_processor"] = nullptr;
  document["model"] = {{"type", "WordPiece"},
                       {"unk_token", "<|endoftext|>"},
                       {"continuing_subword_prefix", ""},
                       {"max_input_chars_per_word", 2147483647u},
                       {"vocab", vocab}};
  AddToken(&document, "<|endoftext|>", 0, false);
  return document;
}

void AddToken(json* document, const std::string& content, int id,
              bool normalized) {
  (*document)["added_tokens"].push_back({{"id", id},
                                         {"content", content},
                                         {"single_word", false},
                                         {"lstrip", false},
                                         {"rstrip", false},
                                         {"normalized", normalized},
                                         {"special", !normalized}});
}

}  // namespace rwkvd
