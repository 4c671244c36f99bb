// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_FIXTURES_H_
#define RWKVD_TESTS_TESTING_FIXTURES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace rwkvd::testing {

// The folder of checkpoints, reference logits and tokenizer vectors that lies
// beside the project, from the environment variable RWKVD_FIXTURES; "" if
// unset.
std::string FixturesDirectory();

// The contents of a file that a test cannot do without.
std::string ReadFileOrDie(const std::string& path);
std::vector<float> ReadFloatsOrDie(const std::string& path);

// Writes a file that a test cannot do without.
void WriteFileOrDie(const std::string& path, absl::string_view bytes);

// A new, empty folder that goes away with the test's other temporary files.
std::string MakeTempDirectory();

}  // namespace rwkvd::testing

// Skips the test, saying why, where there are no fixtures.
#define RWKVD_NEED_FIXTURES()                                               \
  if (::rwkvd::testing::FixturesDirectory().empty()) {                      \
    GTEST_SKIP() << "set RWKVD_FIXTURES to the folder of test checkpoints"; \
  }                                                                         \
  static_assert(true, "")

#endif  // RWKVD_TESTS_TESTING_FIXTURES_H_
