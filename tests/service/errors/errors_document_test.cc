// SPDX-License-Identifier: Apache-2.0
// docs/errors.md lists the reasons of the program.

#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/error_reason.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(ErrorsDocumentTest, ListsTheReasons) {
  std::string table =
      "| reason | code | meaning | what to do |\n|---|---|---|---|\n";
  const size_t head_size = table.size();
  for (const ErrorReasonInfo& info : AllErrorReasons()) {
    absl::StrAppend(&table, "| `", info.name, "` | ",
                    absl::StatusCodeToString(info.code), " | ", info.meaning,
                    " | ", info.what_to_do, " |\n");
  }
  std::ifstream file("docs/errors.md");
  std::stringstream text;
  text << file.rdbuf();
  const std::string document = text.str();
  const size_t begin = document.find(table.substr(0, head_size));
  ASSERT_NE(begin, std::string::npos) << "docs/errors.md has no table";
  EXPECT_EQ(document.substr(begin), table);
}

}  // namespace
}  // namespace rwkvd
