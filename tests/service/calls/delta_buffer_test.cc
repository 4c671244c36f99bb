// SPDX-License-Identifier: Apache-2.0
#include "service/calls/delta_buffer.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "service/convert/responses.h"

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

TEST(DeltaBufferTest, BufferedTokensShareOneMessage) {
  DeltaBuffer buffer;
  EXPECT_TRUE(buffer.empty());
  buffer.AddToken(0, Token(1, "a"), false);
  buffer.AddToken(0, Token(2, ""), false);
  buffer.AddToken(0, Token(3, "bc"), false);
  const v1::GenerateResponse message = buffer.Pop();
  EXPECT_TRUE(buffer.empty());
  ASSERT_EQ(message.delta().tokens_size(), 3);
  EXPECT_EQ(message.delta().tokens(1).id(), 2);
  EXPECT_FALSE(message.delta().tokens(1).has_logprob());
  EXPECT_EQ(message.delta().bytes(), "abc");
  EXPECT_EQ(message.delta().text(), "abc");
}

TEST(DeltaBufferTest, FinishIsASeparateMessage) {
  DeltaBuffer buffer;
  buffer.AddToken(0, Token(1, "a"), true);
  v1::Finish finish;
  finish.set_seed(5);
  buffer.AddFinish(0, finish);
  EXPECT_TRUE(buffer.Pop().delta().tokens(0).has_logprob());
  EXPECT_EQ(buffer.Pop().finish().seed(), 5u);
  EXPECT_TRUE(buffer.empty());
}

TEST(DeltaBufferTest, MessagesStayBelowTheLimitOfClients) {
  DeltaBuffer buffer;
  const std::vector<TokenLogprob> top(32, {1 << 30, -1.5});
  TokenEvent event = Token(1 << 30, std::string(64, 'x'));
  const std::string bytes(64, 'x');
  event.bytes = event.text = bytes;
  event.top = top;
  int added = 0;
  for (; !buffer.overflown(); ++added) buffer.AddToken(0, event, true);
  size_t total = 0;
  int taken = 0;
  while (!buffer.empty()) {
    const v1::GenerateResponse message = buffer.Pop();
    EXPECT_LT(message.ByteSizeLong(), size_t{2} << 20);
    total += message.ByteSizeLong();
    taken += message.delta().tokens_size();
  }
  EXPECT_EQ(taken, added);
  // The estimated size is close to the real one, and never below it.
  EXPECT_LE(total, DeltaBuffer::kMaxPendingBytes + 2048);
  EXPECT_GT(total, DeltaBuffer::kMaxPendingBytes / 2);
  EXPECT_FALSE(buffer.overflown());
}

TEST(DeltaBufferTest, TokensOfDifferentSamplesAreSeparate) {
  DeltaBuffer buffer(2);
  buffer.AddToken(1, Token(1, "a"), false);
  buffer.AddToken(0, Token(2, "b"), false);
  buffer.AddToken(1, Token(3, "c"), false);
  v1::Finish finish;
  buffer.AddFinish(1, finish);
  buffer.AddToken(0, Token(4, "d"), false);
  EXPECT_EQ(buffer.Pop().delta().bytes(), "ac");
  const v1::GenerateResponse other = buffer.Pop();
  EXPECT_EQ(other.delta().bytes(), "bd");
  EXPECT_EQ(other.delta().sample(), 0);
  buffer.AddToken(0, Token(5, "e"),
                  false);  // not to the message that was popped
  EXPECT_EQ(buffer.Pop().finish().sample(), 1);
  EXPECT_EQ(buffer.Pop().delta().bytes(), "e");
}

TEST(DeltaBufferTest, KeepReturnsSamplesInTheGivenOrder) {
  DeltaBuffer buffer(3);
  for (const int32_t sample : {0, 1, 2, 0}) {
    buffer.AddToken(sample, Token(1, std::string(1, '0' + sample)), false);
    buffer.AddFinish(sample, {});
  }
  buffer.Keep({2, 0});
  EXPECT_EQ(buffer.Pop().delta().bytes(), "2");
  EXPECT_EQ(buffer.Pop().finish().sample(), 2);
  EXPECT_EQ(buffer.Pop().delta().bytes(), "00");
  buffer.AddToken(0, Token(1, "x"), false);
  EXPECT_TRUE(buffer.Pop().has_finish());
  EXPECT_TRUE(buffer.Pop().has_finish());
  EXPECT_EQ(buffer.Pop().delta().bytes(), "x");
  EXPECT_TRUE(buffer.empty());
}

TEST(DeltaBufferTest, ClearRemovesEverything) {
  DeltaBuffer buffer;
  buffer.AddToken(0, Token(1, "a"), false);
  buffer.Clear();
  EXPECT_TRUE(buffer.empty());
}

TEST(DeltaBufferTest, LongPromptIsSplitIntoMessages) {
  DeltaBuffer buffer;
  const PromptEvent::Token token = {
      7, -1.5, std::vector<TokenLogprob>(32, TokenLogprob{1 << 30, -2.5})};
  const std::vector<PromptEvent::Token> tokens(5000, token);
  PromptEvent event;
  event.tokens = tokens;
  buffer.AddPrompt(0, event);
  int num_tokens = 0;
  while (!buffer.empty()) {
    const v1::GenerateResponse message = buffer.Pop();
    EXPECT_LE(message.ByteSizeLong(), DeltaBuffer::kMaxDeltaBytes + 1024);
    num_tokens += message.delta().prompt_tokens_size();
    EXPECT_EQ(message.delta().prompt_tokens(0).top_logprobs_size(), 32);
  }
  EXPECT_EQ(num_tokens, 5000);
}

}  // namespace
}  // namespace rwkvd
