// SPDX-License-Identifier: Apache-2.0
#include "service/convert/message_check.h"

#include <limits>
#include <memory>
#include <random>
#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/message.h"
#include "gtest/gtest.h"
#include "rwkv/v1/rwkv.pb.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

using ::testing::HasSubstr;

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

MessageCheck Check(const google::protobuf::Message& message) {
  return CheckMessage(*message.GetDescriptor(), message.SerializeAsString(),
                      kNoLimit);
}

MessageCheck CheckGenerate(const std::string& bytes) {
  return CheckMessage(*v1::GenerateRequest::descriptor(), bytes, kNoLimit);
}

std::string MessageOf(const MessageCheck& check) {
  return std::string(check.status.message());
}

// A request that uses all kinds of fields.
v1::GenerateRequest FullRequest() {
  v1::GenerateRequest request;
  for (int i = 0; i < 1000; ++i) {
    request.mutable_prompt()->mutable_tokens()->add_ids(i * i);
  }
  request.add_stop_strings("end");
  request.add_stop_strings(std::string(500, 'x'));
  for (int i = 0; i < 20; ++i) {
    v1::LogitBias* bias = request.mutable_sampling()->add_logit_bias();
    bias->set_id(i);
    bias->set_bias(0.5F);
    request.mutable_sampling()->add_banned_tokens(-i);
  }
  request.mutable_sampling()->set_seed(~uint64_t{0});
  request.mutable_pin()->set_name("name");
  request.mutable_pin()->set_ttl_seconds(3);
  request.set_initial_state(std::string(100, 's'));
  request.set_echo(true);
  return request;
}

TEST(MessageCheckTest, BoundsTheMemoryOfParsedMessages) {
  v1::ScoreRequest many;
  for (int i = 0; i < 10000; ++i) many.add_continuations();
  v1::ScoreRequest texts;
  for (int i = 0; i < 1000; ++i) {
    texts.add_items()->add_continuations()->set_text(std::string(i % 40, 'x'));
  }
  v1::DetokenizeRequest ids;
  for (int i = 0; i < 100000; ++i) ids.add_ids(i % 100);
  for (const google::protobuf::Message* message :
       std::initializer_list<const google::protobuf::Message*>{&many, &texts,
                                                               &ids}) {
    const std::unique_ptr<google::protobuf::Message> parsed(message->New());
    ASSERT_TRUE(parsed->ParseFromString(message->SerializeAsString()));
    const MessageCheck check = Check(*message);
    EXPECT_TRUE(check.status.ok()) << check.status;
    EXPECT_GE(check.memory, static_cast<int64_t>(parsed->SpaceUsedLong()));
    EXPECT_LE(check.memory, 4 * static_cast<int64_t>(parsed->SpaceUsedLong()));
  }
}

TEST(MessageCheckTest, StopsAtTheLimit) {
  v1::ScoreRequest many;
  for (int i = 0; i < 10000; ++i) many.add_continuations();
  const MessageCheck check =
      CheckMessage(*v1::ScoreRequest::descriptor(), many.SerializeAsString(),
                   /*max_memory=*/5000);
  EXPECT_TRUE(check.status.ok());
  EXPECT_GT(check.memory, 5000);
  EXPECT_LT(check.memory, 10000);
}

TEST(MessageCheckTest, NamesTheFieldThatIsNotUtf8) {
  const MessageCheck text = CheckGenerate(
      "\x0a\x05\x0a\x03x\xc3\xa9"
      "\x0a\x04\x0a\x02x\xc3");
  EXPECT_TRUE(text.not_utf8);
  EXPECT_EQ(text.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MessageOf(text), "prompt.text: byte 1 is not valid UTF-8");
  EXPECT_EQ(MessageOf(CheckGenerate("\x42\x01\xff")),
            "initial_state: byte 0 is not valid UTF-8");
  // Bytes may have any value.
  EXPECT_TRUE(CheckGenerate("\x0a\x03\x12\x01\xff").status.ok());
}

TEST(MessageCheckTest, PathsCountTheElementsOfLists) {
  std::string bytes("\x22\x04\x12\x02\x0a\x00", 6);
  bytes += std::string("\x22\x09\x12\x02\x0a\x00\x12\x03\x0a\x01\xff", 11);
  const MessageCheck check =
      CheckMessage(*v1::ScoreRequest::descriptor(), bytes, kNoLimit);
  EXPECT_EQ(MessageOf(check),
            "items[1].continuations[1].text: byte 0 is not valid UTF-8");
}

TEST(MessageCheckTest, SaysWhereAMessageIsMalformed) {
  EXPECT_EQ(MessageOf(CheckGenerate("\x0a\x05\x0a")),
            "prompt: the message ends within it");
  EXPECT_EQ(MessageOf(CheckGenerate("\x0a\x02\x0a\x05")),
            "prompt.text: the message ends within it");
  EXPECT_EQ(MessageOf(CheckGenerate("\x80")),
            "the message is not a rwkv.v1.GenerateRequest: expected the tag "
            "of a field");
  EXPECT_THAT(MessageOf(CheckGenerate("\xfa\x3f\x05")),
              HasSubstr("field 1023"));
  EXPECT_FALSE(CheckGenerate("\x0a\x05\x0a").not_utf8);
}

TEST(MessageCheckTest, UnknownFieldsAreSkippedAndCounted) {
  // Fields 1000 to 1003: a varint, 8 bytes, a string, and a group with a
  // varint.
  const std::string unknown(
      "\xc0\x3e\x05"
      "\xc9\x3e"
      "12345678"
      "\xd2\x3e\x03xyz"
      "\xdb\x3e\x08\x01\xdc\x3e",
      25);
  v1::GenerateRequest parsed;
  ASSERT_TRUE(parsed.ParseFromString(unknown));
  const MessageCheck check = CheckGenerate(unknown);
  EXPECT_TRUE(check.status.ok()) << check.status;
  EXPECT_GE(check.memory, static_cast<int64_t>(parsed.SpaceUsedLong()));
}

// Whatever protobuf parses is accepted, and its memory is bounded.
TEST(MessageCheckTest, AgreesWithProtobufOnDamagedMessages) {
  std::mt19937 random(5);
  const std::string whole = FullRequest().SerializeAsString();
  int num_parsed = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = whole;
    if (random() % 4 == 0) bytes.resize(random() % (whole.size() + 1));
    for (int changes = static_cast<int>(random() % 3); changes > 0; --changes) {
      if (bytes.empty()) break;
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    v1::GenerateRequest parsed;
    const bool can_be_parsed = parsed.ParseFromString(bytes);
    const MessageCheck check = CheckGenerate(bytes);
    if (!can_be_parsed) continue;
    ++num_parsed;
    ASSERT_TRUE(check.status.ok()) << check.status;
    ASSERT_GE(check.memory, static_cast<int64_t>(parsed.SpaceUsedLong()));
  }
  EXPECT_GT(num_parsed, 1000);
}

}  // namespace
}  // namespace rwkvd
