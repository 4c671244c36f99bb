// SPDX-License-Identifier: Apache-2.0
// docs/flags.md lists the flags that `rwkvd --help` prints.

#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "service/options/options.h"

namespace rwkvd {
namespace {

constexpr char kHead[] = "| flag | default | meaning |\n|---|---|---|\n";

// One row, from a help text that ends with "Default: VALUE." if there is one.
std::string RowOf(absl::string_view flag, absl::string_view text) {
  constexpr absl::string_view kDefault = " Default: ";
  std::string value;
  const size_t begin = text.rfind(kDefault);
  if (begin != absl::string_view::npos) {
    absl::string_view rest = text.substr(begin + kDefault.size());
    absl::ConsumeSuffix(&rest, ".");
    value = absl::StrCat("`", rest, "`");
    text = text.substr(0, begin);
  }
  return absl::StrCat("| `", flag, "` | ", value, " | ", text, " |\n");
}

// The table of all flags in `help`, without --help and --version.
std::string TableOf(absl::string_view help) {
  std::string table(kHead);
  std::string flag, text;
  const auto end_flag = [&] {
    const bool is_listed =
        !flag.empty() && flag != "--help" && flag != "--version";
    if (is_listed) table += RowOf(flag, text);
    flag.clear();
    text.clear();
  };
  for (absl::string_view line : absl::StrSplit(help, '\n')) {
    if (absl::ConsumePrefix(&line, "      ") && !flag.empty()) {
      absl::StrAppend(&text, text.empty() ? "" : " ", line);
    } else if (absl::StartsWith(line, "  --")) {
      end_flag();
      flag = std::string(line.substr(2));
    }
  }
  end_flag();
  return table;
}

TEST(FlagsDocumentTest, ListsTheFlagsOfHelp) {
  std::ifstream file("docs/flags.md");
  std::stringstream text;
  text << file.rdbuf();
  const std::string document = text.str();
  const size_t begin = document.find(kHead);
  ASSERT_NE(begin, std::string::npos) << "docs/flags.md has no table of flags";
  EXPECT_EQ(document.substr(begin), TableOf(OptionsHelp()));
}

}  // namespace
}  // namespace rwkvd
