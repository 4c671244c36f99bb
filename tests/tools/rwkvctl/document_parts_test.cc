// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/document_parts.h"

#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

std::vector<std::string> PartsOf(const std::string& text) {
  std::istringstream in(text);
  DocumentParts parts(&in);
  std::vector<std::string> all;
  for (std::string part = parts.Next(); !part.empty(); part = parts.Next()) {
    all.push_back(part);
  }
  EXPECT_EQ(parts.Next(), "");
  return all;
}

TEST(CutAtTokenTest, CutsAfterLastLineBreakFollowedByText) {
  EXPECT_EQ(CutAtToken("one\ntwo\nthr"), 8u);
  EXPECT_EQ(CutAtToken("one\ntwo\n\n"), 4u);  // more breaks may follow
  EXPECT_EQ(CutAtToken("one\n\n\ntwo"), 6u);
}

TEST(CutAtTokenTest, WithoutLineBreakCutsBeforeLastCharacter) {
  EXPECT_EQ(CutAtToken("abc"), 2u);
  EXPECT_EQ(CutAtToken("ab\xe6\x9d"), 2u);  // the third byte may follow
  EXPECT_EQ(CutAtToken("a"), 1u);
  EXPECT_EQ(CutAtToken("\x9d\x9d"), 2u);
  EXPECT_EQ(CutAtToken("\n"), 1u);
}

TEST(DocumentPartsTest, PartsAddUpToTheDocument) {
  std::string lines, line;
  for (int i = 0; i < 20000; ++i) lines += std::to_string(i * i) + "\n";
  line.assign(3 * DocumentParts::kMaxBytes, 'x');
  for (const std::string& text :
       {std::string(), std::string("short"), lines, line,
        std::string(DocumentParts::kMaxBytes, '\n')}) {
    std::string together;
    for (const std::string& part : PartsOf(text)) {
      EXPECT_LE(part.size(), DocumentParts::kMaxBytes);
      together += part;
    }
    EXPECT_EQ(together, text);
  }
  for (const std::string& part : PartsOf(lines)) EXPECT_EQ(part.back(), '\n');
}

}  // namespace
}  // namespace rwkvd
