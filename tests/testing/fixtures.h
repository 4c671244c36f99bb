// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_FIXTURES_H_
#define RWKVD_TESTS_TESTING_FIXTURES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace rwkvd::testing {

// The directory of checkpoints, reference logits and tokenizer test vectors,
// which is not part of the project: the value of the environment variable
// RWKVD_FIXTURES, or "".
std::string FixturesDirectory();
// The same for further formats, such as GGUF: RWKVD_FORMAT_FIXTURES.
std::string FormatFixturesDirectory();

// The contents of a file. Abort the process if it cannot be read.
std::string ReadFileOrDie(const std::string& path);
std::vector<float> ReadFloatsOrDie(const std::string& path);

// Writes a file. Aborts the process if that fails.
void WriteFileOrDie(const std::string& path, absl::string_view bytes);

// Creates an empty directory among the temporary files of the test.
std::string MakeTempDirectory();

}  // namespace rwkvd::testing

// Skips the test, with a message, if there are no fixtures.
#define RWKVD_NEED_FIXTURES()                                                  \
  if (::rwkvd::testing::FixturesDirectory().empty()) {                         \
    GTEST_SKIP() << "set RWKVD_FIXTURES to the directory of test checkpoints"; \
  }                                                                            \
  static_assert(true, "")
#define RWKVD_NEED_FORMAT_FIXTURES()                                           \
  if (::rwkvd::testing::FormatFixturesDirectory().empty()) {                   \
    GTEST_SKIP() << "set RWKVD_FORMAT_FIXTURES to the directory of test files" \
                    " of further formats";                                     \
  }                                                                            \
  static_assert(true, "")

#endif  // RWKVD_TESTS_TESTING_FIXTURES_H_
