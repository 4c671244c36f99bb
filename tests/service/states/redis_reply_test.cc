// SPDX-License-Identifier: Apache-2.0
#include "service/states/redis_reply.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ReplyKind = RedisReply::Kind;

// A reader of `text`, which arrives in parts of `part` bytes, and then ends.
RedisReader ReaderOf(std::string text, size_t part) {
  return RedisReader(
      [text = std::move(text), part, used = size_t{0}](
          char* data, size_t size) mutable -> absl::StatusOr<size_t> {
        const size_t more = std::min({size, part, text.size() - used});
        if (more == 0) return absl::AbortedError("end");
        std::memcpy(data, text.data() + used, more);
        used += more;
        return more;
      });
}

TEST(RedisReaderTest, ReadsRepliesInAnyParts) {
  const std::string large(100'000, 'x');
  std::string whole = "+OK\r\n-ERR no\r\n:-42\r\n$4\r\na\r\n";
  whole += '\0';
  whole += "\r\n$-1\r\n$0\r\n\r\n*3\r\n:1\r\n:2\r\n:3\r\n*0\r\n$100000\r\n" +
           large + "\r\n:7\r\n";
  for (const size_t part : {size_t{1}, size_t{2}, size_t{7}, whole.size()}) {
    RedisReader reader = ReaderOf(whole, part);
    auto reply = reader.Read(0);
    EXPECT_EQ(reply->kind, ReplyKind::kStatus);
    EXPECT_EQ(reply->text, "OK");
    reply = reader.Read(0);
    EXPECT_EQ(reply->kind, ReplyKind::kError);
    EXPECT_EQ(reply->text, "ERR no");
    EXPECT_EQ(reader.Read(0)->integer, -42);
    EXPECT_EQ(reader.Read(4)->text, std::string("a\r\n\0", 4));
    EXPECT_EQ(reader.Read(0)->kind, ReplyKind::kNull);
    reply = reader.Read(0);
    EXPECT_EQ(reply->kind, ReplyKind::kBytes);
    EXPECT_EQ(reply->text, "");
    EXPECT_THAT(reader.Read(0)->integers, ElementsAre(1, 2, 3));
    EXPECT_EQ(reader.Read(0)->kind, ReplyKind::kIntegers);
    EXPECT_EQ(reader.Read(100'000)->text, large);
    EXPECT_EQ(reader.Read(0)->integer, 7);
    EXPECT_TRUE(absl::IsAborted(reader.Read(0).status()));
  }
}

TEST(RedisReaderTest, RefusesWhatIsNoReply) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"HTTP/1.1 400\r\n", "one of the characters"},
      {std::string(1, '\0'), "one of the characters"},
      {"+OK\n", "CR LF"},
      {":\r\n", "an integer"},
      {":-\r\n", "an integer"},
      {":+1\r\n", "an integer"},
      {": 1\r\n", "an integer"},
      {":1x\r\n", "an integer"},
      {":9223372036854775808\r\n", "an integer"},
      {"$-2\r\n", "a size"},
      {"$x\r\n", "an integer"},
      {"$2\r\nabc\r\n", "the end of a value"},
      {"*-1\r\n", "an array"},
      {"*17\r\n", "an array"},
      {"*9223372036854775807\r\n", "an array"},
      {"*1\r\n$1\r\na\r\n", "an integer"},
      {"*1\r\n*1\r\n", "an integer"},
      {"+" + std::string(5000, 'a'), "a line of at most"},
      {":" + std::string(5000, '1') + "\r\n", "a line of at most"}};
  for (const auto& [text, expected] : cases) {
    for (const size_t part : {size_t{1}, text.size()}) {
      const auto reply = ReaderOf(text, part).Read(10);
      EXPECT_EQ(reply.status().code(), absl::StatusCode::kDataLoss) << text;
      EXPECT_THAT(std::string(reply.status().message()), HasSubstr(expected));
    }
  }
}

TEST(RedisReaderTest, RefusesBytesBeyondTheLimitBeforeTheyArrive) {
  EXPECT_TRUE(absl::IsOutOfRange(
      ReaderOf("$9223372036854775807\r\n", 100).Read(10).status()));
  EXPECT_TRUE(absl::IsOutOfRange(ReaderOf("$11\r\n", 100).Read(10).status()));
  EXPECT_TRUE(absl::IsAborted(ReaderOf("$10\r\n", 100).Read(10).status()));
}

TEST(RedisReaderTest, TruncatedRepliesHaveTheErrorOfTheStream) {
  const std::string replies[] = {"+OK\r\n", "$3\r\nabc\r\n", "*1\r\n:5\r\n"};
  for (const std::string& whole : replies) {
    for (size_t size = 0; size < whole.size(); ++size) {
      const auto reply = ReaderOf(whole.substr(0, size), 1).Read(10);
      EXPECT_TRUE(absl::IsAborted(reply.status())) << whole << size;
    }
  }
}

}  // namespace
}  // namespace rwkvd
