// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/chat/answer_printer.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

std::string Printed(const std::vector<std::string>& parts) {
  char* text = nullptr;
  size_t size = 0;
  std::FILE* const out = open_memstream(&text, &size);
  AnswerPrinter printer(out);
  for (const std::string& part : parts) printer.Print(part);
  printer.End();
  std::fclose(out);
  std::string printed(text, size);
  std::free(text);
  return printed;
}

TEST(AnswerPrinterTest, SkipsLeadingSpaceAndEndsTheLastLine) {
  EXPECT_EQ(Printed({" ", "\n ", " Hello", " there. "}), "Hello there. \n");
  EXPECT_EQ(Printed({" a\n", "\n b\n"}), "a\n\n b\n");
  EXPECT_EQ(Printed({}), "\n");
  EXPECT_EQ(Printed({"a\n", ""}), "a\n");
}

}  // namespace
}  // namespace rwkvd
