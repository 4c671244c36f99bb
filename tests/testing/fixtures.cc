// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/fixtures.h"

#include <stdlib.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "core/base/check.h"
#include "gtest/gtest.h"

namespace rwkvd::testing {
namespace {

std::string Environment(const char* variable) {
  const char* value = getenv(variable);
  return value == nullptr ? "" : value;
}

}  // namespace

std::string FixturesDirectory() { return Environment("RWKVD_FIXTURES"); }

std::string FormatFixturesDirectory() {
  return Environment("RWKVD_FORMAT_FIXTURES");
}

std::string ReadFileOrDie(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) std::fprintf(stderr, "cannot read %s\n", path.c_str());
  RWKVD_CHECK(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<float> ReadFloatsOrDie(const std::string& path) {
  const std::string bytes = ReadFileOrDie(path);
  RWKVD_CHECK(bytes.size() % sizeof(float) == 0);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

void WriteFileOrDie(const std::string& path, absl::string_view bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), bytes.size());
  file.close();
  RWKVD_CHECK(file);
}

std::string MakeTempDirectory() {
  std::string path = ::testing::TempDir() + "/rwkvd_XXXXXX";
  RWKVD_CHECK(mkdtemp(path.data()) != nullptr);
  return path;
}

}  // namespace rwkvd::testing
