// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/chat/line_reader.h"

#include <unistd.h>

#include <thread>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

class LineReaderTest : public ::testing::Test {
 protected:
  LineReaderTest() {
    EXPECT_EQ(pipe(input_), 0);
    EXPECT_EQ(pipe(stop_), 0);
  }
  ~LineReaderTest() override {
    Close();
    for (int fd : {input_[0], stop_[0], stop_[1]}) close(fd);
  }

  void Write(absl::string_view text) {
    while (!text.empty()) {
      const ssize_t written = write(input_[1], text.data(), text.size());
      ASSERT_GT(written, 0);
      text.remove_prefix(static_cast<size_t>(written));
    }
  }
  void Close() {
    if (input_[1] >= 0) close(input_[1]);
    input_[1] = -1;
  }

  int input_[2];
  int stop_[2];
};

TEST_F(LineReaderTest, JoinsLinesFromSeveralReads) {
  LineReader lines(input_[0], stop_[0]);
  Write("one\n\ntw");
  EXPECT_EQ(lines.Next().value(), "one");
  EXPECT_EQ(lines.Next().value(), "");
  Write("o\nthree");
  EXPECT_EQ(lines.Next().value(), "two");
  Close();
  EXPECT_EQ(lines.Next().value(), "three");
  EXPECT_EQ(lines.Next().value(), std::nullopt);
  EXPECT_EQ(lines.Next().value(), std::nullopt);
}

TEST_F(LineReaderTest, IsCancelledWhenStopFdIsReadable) {
  LineReader lines(input_[0], stop_[0]);
  std::thread stop([this] { EXPECT_EQ(write(stop_[1], "x", 1), 1); });
  EXPECT_TRUE(absl::IsCancelled(lines.Next().status()));
  stop.join();
}

TEST_F(LineReaderTest, SkipsLinesThatAreTooLong) {
  LineReader lines(input_[0], stop_[0]);
  std::thread writer([this] {
    Write(std::string(3 * LineReader::kMaxLineBytes, 'x') + "\nnext\n");
    Write(std::string(2 * LineReader::kMaxLineBytes, 'x'));
    Close();
  });
  EXPECT_TRUE(absl::IsInvalidArgument(lines.Next().status()));
  EXPECT_EQ(lines.Next().value(), "next");
  EXPECT_EQ(lines.Next().value(), std::nullopt);
  writer.join();
}

bool Add(MessageAssembler& message, absl::string_view line) {
  return message.Add(line).value();
}

TEST(MessageAssemblerTest, LineIsAMessage) {
  MessageAssembler message;
  EXPECT_TRUE(message.empty());
  EXPECT_TRUE(Add(message, "say \"\"\" this"));
  EXPECT_EQ(message.Take(), "say \"\"\" this");
  EXPECT_TRUE(message.empty());
}

TEST(MessageAssemblerTest, BackslashContinuesTheMessage) {
  MessageAssembler message;
  EXPECT_FALSE(Add(message, "one\\"));
  EXPECT_FALSE(message.empty());
  EXPECT_FALSE(Add(message, "two\\"));
  EXPECT_TRUE(Add(message, "three"));
  EXPECT_EQ(message.Take(), "one\ntwo\nthree");
}

TEST(MessageAssemblerTest, BlockKeepsItsTextUnchanged) {
  MessageAssembler message;
  EXPECT_FALSE(Add(message, "\"\"\""));
  EXPECT_FALSE(message.empty());
  EXPECT_FALSE(Add(message, "/one\\"));
  EXPECT_FALSE(Add(message, ""));
  EXPECT_FALSE(Add(message, "two"));
  EXPECT_TRUE(Add(message, " \"\"\" "));
  EXPECT_EQ(message.Take(), "/one\\\n\ntwo\n");
  EXPECT_TRUE(Add(message, "next"));
  EXPECT_EQ(message.Take(), "next");
}

TEST(MessageAssemblerTest, DiscardsMessagesThatAreTooLong) {
  MessageAssembler message;
  EXPECT_FALSE(Add(message, "\"\"\""));
  const std::string line(LineReader::kMaxLineBytes, 'x');
  absl::StatusOr<bool> added = false;
  for (int i = 0; i < 10 && added.ok(); ++i) added = message.Add(line);
  EXPECT_TRUE(absl::IsInvalidArgument(added.status()));
  EXPECT_TRUE(message.empty());
}

}  // namespace
}  // namespace rwkvd
