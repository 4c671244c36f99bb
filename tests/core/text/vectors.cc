// SPDX-License-Identifier: Apache-2.0
#include "tests/core/text/vectors.h"

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/strings/escaping.h"
#include "nlohmann/json.hpp"

namespace rwkvd {

std::string FormatFixtures() {
  const char* const root = std::getenv("RWKVD_FORMAT_FIXTURES");
  return root == nullptr ? "" : root;
}

std::string TokenizerFixtures() {
  const char* const root = std::getenv("RWKVD_FIXTURES");
  if (root == nullptr || *root == '\0') return "";
  return std::string(root) + "/tokenizers";
}

std::string ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::vector<TokenizerVector> ReadVectors(const std::string& path) {
  std::ifstream file(path);
  std::vector<TokenizerVector> vectors;
  std::string line;
  while (std::getline(file, line)) {
    const auto json = nlohmann::json::parse(line);
    TokenizerVector vector;
    vector.bytes =
        json.contains("text")
            ? json.at("text").get<std::string>()
            : absl::HexStringToBytes(json.at("bytes_hex").get<std::string>());
    vector.ids = json.at("ids").get<std::vector<TokenId>>();
    vectors.push_back(vector);
  }
  return vectors;
}

}  // namespace rwkvd
