// SPDX-License-Identifier: Apache-2.0
#include "service/delta_buffer.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "service/convert.h"

namespace rwkvd {
namespace {

TokenEvent Token(int32_t id, absl::string_view bytes) {
  TokenEvent event;
  event.id = id;
  event.bytes = bytes;
  event.text = bytes;
  event.logprob = -1;
  return event;
}

TEST(DeltaBufferTest, TokensThatWaitJoinOneMessage) {
  DeltaBuffer buffer;
  EXPECT_TRUE(buffer.empty());
  buffer.AddToken(Token(1, "a"), false);
  buffer.AddToken(Token(2, ""), false);
  buffer.AddToken(Token(3, "bc"), false);
  const v1::GenerateResponse message = buffer.Pop();
  EXPECT_TRUE(buffer.empty());
  ASSERT_EQ(message.delta().tokens_size(), 3);
  EXPECT_EQ(message.delta().tokens(1).id(), 2);
  EXPECT_FALSE(message.delta().tokens(1).has_logprob());
  EXPECT_EQ(message.delta().bytes(), "abc");
  EXPECT_EQ(message.delta().text(), "abc");
}

TEST(DeltaBufferTest, TheFinishIsAMessageOfItsOwn) {
  DeltaBuffer buffer;
  buffer.AddToken(Token(1, "a"), true);
  FinishEvent finish;
  finish.reason = FinishReason::kLength;
  buffer.AddFinish(finish, 5);
  EXPECT_TRUE(buffer.Pop().delta().tokens(0).has_logprob());
  EXPECT_EQ(buffer.Pop().finish().seed(), 5u);
  EXPECT_TRUE(buffer.empty());
}

TEST(DeltaBufferTest, NoMessageOutgrowsWhatClientsAccept) {
  DeltaBuffer buffer;
  const std::vector<TokenLogprob> top(32, {1 << 30, -1.5});
  TokenEvent event = Token(1 << 30, std::string(64, 'x'));
  const std::string bytes(64, 'x');
  event.bytes = event.text = bytes;
  event.top = top;
  int added = 0;
  for (; !buffer.overflown(); ++added) buffer.AddToken(event, true);
  size_t total = 0;
  int taken = 0;
  while (!buffer.empty()) {
    const v1::GenerateResponse message = buffer.Pop();
    EXPECT_LT(message.ByteSizeLong(), size_t{2} << 20);
    total += message.ByteSizeLong();
    taken += message.delta().tokens_size();
  }
  EXPECT_EQ(taken, added);
  // The estimate is not far from the truth, and never below it.
  EXPECT_LE(total, DeltaBuffer::kMaxPendingBytes + 2048);
  EXPECT_GT(total, DeltaBuffer::kMaxPendingBytes / 2);
  EXPECT_FALSE(buffer.overflown());
}

TEST(DeltaBufferTest, ClearForgetsAll) {
  DeltaBuffer buffer;
  buffer.AddToken(Token(1, "a"), false);
  buffer.Clear();
  EXPECT_TRUE(buffer.empty());
}

}  // namespace
}  // namespace rwkvd
