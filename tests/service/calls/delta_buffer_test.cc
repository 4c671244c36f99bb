// SPDX-License-Identifier: Apache-2.0
#include "service/calls/delta_buffer.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/text/load_tokenizer.h"
#include "gtest/gtest.h"
#include "service/convert/responses.h"
#include "service/response_memory.h"

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

// A buffer, and the account that it is charged to.
class DeltaBufferTest : public ::testing::Test {
 protected:
  ResponseCharge Charge(int64_t bytes) {
    auto charge = ResponseCharge::Take(account_, bytes);
    EXPECT_TRUE(charge.has_value());
    return *std::move(charge);
  }
  void AddToken(DeltaBuffer& buffer, int32_t sample, const TokenEvent& event,
                bool with_logprob = false, TokenTexts texts = {}) {
    buffer.AddToken(sample, event, with_logprob,
                    Charge(DeltaBuffer::MaxBytes(event, texts)), texts);
  }
  void AddFinish(DeltaBuffer& buffer, int32_t sample, v1::Finish finish = {}) {
    const int64_t bytes = DeltaBuffer::MaxBytes(finish);
    buffer.AddFinish(sample, std::move(finish), Charge(bytes));
  }
  static v1::GenerateResponse Pop(DeltaBuffer& buffer) {
    v1::GenerateResponse message;
    grpc::ByteBuffer bytes = buffer.Pop().bytes;
    EXPECT_TRUE(grpc::SerializationTraits<v1::GenerateResponse>::Deserialize(
                    &bytes, &message)
                    .ok());
    return message;
  }

  const std::shared_ptr<ByteBudget> budget_ =
      std::make_shared<ByteBudget>(int64_t{1} << 30);
  const std::shared_ptr<ResponseAccount> account_ =
      std::make_shared<ResponseAccount>(budget_);
};

TEST_F(DeltaBufferTest, BufferedTokensShareOneMessage) {
  DeltaBuffer buffer;
  EXPECT_TRUE(buffer.empty());
  AddToken(buffer, 0, Token(1, "a"), false);
  AddToken(buffer, 0, Token(2, ""), false);
  AddToken(buffer, 0, Token(3, "bc"), false);
  const v1::GenerateResponse message = Pop(buffer);
  EXPECT_TRUE(buffer.empty());
  ASSERT_EQ(message.delta().tokens_size(), 3);
  EXPECT_EQ(message.delta().tokens(1).id(), 2);
  EXPECT_FALSE(message.delta().tokens(1).has_logprob());
  EXPECT_EQ(message.delta().bytes(), "abc");
  EXPECT_EQ(message.delta().text(), "abc");
}

TEST_F(DeltaBufferTest, FinishIsASeparateMessage) {
  DeltaBuffer buffer;
  AddToken(buffer, 0, Token(1, "a"), true);
  v1::Finish finish;
  finish.set_seed(5);
  AddFinish(buffer, 0, finish);
  EXPECT_TRUE(Pop(buffer).delta().tokens(0).has_logprob());
  EXPECT_EQ(Pop(buffer).finish().seed(), 5u);
  EXPECT_TRUE(buffer.empty());
}

TEST_F(DeltaBufferTest, MessagesStayBelowTheLimitOfClients) {
  DeltaBuffer buffer;
  const std::vector<TokenLogprob> top(32, {1 << 30, -1.5});
  TokenEvent event = Token(1 << 30, std::string(64, 'x'));
  const std::string bytes(64, 'x');
  event.bytes = event.text = bytes;
  event.top = top;
  int added = 0;
  for (; !buffer.overflown(); ++added) AddToken(buffer, 0, event, true);
  size_t total = 0;
  int taken = 0;
  while (!buffer.empty()) {
    const v1::GenerateResponse message = Pop(buffer);
    EXPECT_LT(message.ByteSizeLong(), size_t{2} << 20);
    total += message.ByteSizeLong();
    taken += message.delta().tokens_size();
  }
  EXPECT_EQ(taken, added);
  // The estimated size is close to the real one, and never below it.
  EXPECT_LE(total, DeltaBuffer::kMaxPendingBytes + 2048);
  EXPECT_GT(total, DeltaBuffer::kMaxPendingBytes * 3 / 4);
  EXPECT_FALSE(buffer.overflown());
}

TEST_F(DeltaBufferTest, TokensOfDifferentSamplesAreSeparate) {
  DeltaBuffer buffer(2);
  AddToken(buffer, 1, Token(1, "a"), false);
  AddToken(buffer, 0, Token(2, "b"), false);
  AddToken(buffer, 1, Token(3, "c"), false);
  v1::Finish finish;
  AddFinish(buffer, 1, finish);
  AddToken(buffer, 0, Token(4, "d"), false);
  EXPECT_EQ(Pop(buffer).delta().bytes(), "ac");
  const v1::GenerateResponse other = Pop(buffer);
  EXPECT_EQ(other.delta().bytes(), "bd");
  EXPECT_EQ(other.delta().sample(), 0);
  AddToken(buffer, 0, Token(5, "e"),
           false);  // not to the message that was popped
  EXPECT_EQ(Pop(buffer).finish().sample(), 1);
  EXPECT_EQ(Pop(buffer).delta().bytes(), "e");
}

TEST_F(DeltaBufferTest, KeepReturnsSamplesInTheGivenOrder) {
  DeltaBuffer buffer(3);
  for (const int32_t sample : {0, 1, 2, 0}) {
    AddToken(buffer, sample, Token(1, std::string(1, '0' + sample)), false);
    AddFinish(buffer, sample);
  }
  buffer.Keep({2, 0});
  EXPECT_EQ(Pop(buffer).delta().bytes(), "2");
  EXPECT_EQ(Pop(buffer).finish().sample(), 2);
  EXPECT_EQ(Pop(buffer).delta().bytes(), "00");
  AddToken(buffer, 0, Token(1, "x"), false);
  EXPECT_TRUE(Pop(buffer).has_finish());
  EXPECT_TRUE(Pop(buffer).has_finish());
  EXPECT_EQ(Pop(buffer).delta().bytes(), "x");
  EXPECT_TRUE(buffer.empty());
}

TEST_F(DeltaBufferTest, ClearReturnsAllMemory) {
  DeltaBuffer buffer;
  AddToken(buffer, 0, Token(1, "a"), false);
  buffer.AddState(0, "state", Charge(DeltaBuffer::MaxStateBytes(5)));
  AddFinish(buffer, 0);
  EXPECT_GT(budget_->used(), 0);
  buffer.Clear();
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(budget_->used(), 0);
  EXPECT_EQ(account_->bytes(), 0);
}

TEST_F(DeltaBufferTest, MessageIsChargedUntilItsBytesAreReleased) {
  DeltaBuffer buffer;
  const std::string text(10000, 'x');
  AddToken(buffer, 0, Token(1, text));
  {
    const DeltaBuffer::Response response = buffer.Pop();
    EXPECT_TRUE(response.has_tokens);
    EXPECT_TRUE(buffer.empty());
    EXPECT_GE(account_->bytes(), static_cast<int64_t>(response.bytes.Length()));
    // A second reference, as gRPC takes one when it writes.
    const grpc::ByteBuffer written = response.bytes;
  }
  EXPECT_EQ(account_->bytes(), 0);
  EXPECT_EQ(budget_->used(), 0);
}

// The charge covers what is buffered at every moment, and a full message costs
// little more than its bytes.
TEST_F(DeltaBufferTest, ChargeCoversTheBytes) {
  DeltaBuffer buffer;
  const std::vector<TokenLogprob> top(32, {1 << 30, -1.5});
  TokenEvent event = Token(1 << 30, "word");
  event.top = top;
  int64_t num_bytes = 0;
  for (int i = 0; i < 5000; ++i) {
    AddToken(buffer, 0, event, true);
    num_bytes += 560;  // at least, on the wire
    ASSERT_GT(account_->bytes(), num_bytes);
  }
  int64_t total = 0;
  while (!buffer.empty()) total += Pop(buffer).ByteSizeLong();
  EXPECT_EQ(account_->bytes(), 0);
  EXPECT_GT(total, num_bytes);
}

TEST_F(DeltaBufferTest, ChargeCoversTheTextsOfTokens) {
  const auto tokenizer = LoadTokenizer("bytes");
  ASSERT_TRUE(tokenizer.ok());
  const TokenTexts texts(tokenizer->get());
  DeltaBuffer buffer;
  const std::vector<TokenLogprob> top(32, {0xFF, -1.5});
  TokenEvent event = Token('a', "a");
  event.top = top;
  int64_t num_bytes = 0;
  for (int i = 0; i < 2000; ++i) {
    AddToken(buffer, 0, event, true, texts);
    num_bytes += 32 * (14 + 3 + 5);  // at least, on the wire
    ASSERT_GT(account_->bytes(), num_bytes);
  }
  int64_t total = 0;
  while (!buffer.empty()) total += Pop(buffer).ByteSizeLong();
  EXPECT_GT(total, num_bytes);
}

TEST_F(DeltaBufferTest, StateIsSplitIntoChunksThatShareItsMemory) {
  DeltaBuffer buffer(2);
  std::string state(3 * kStateChunkBytes + 5, 'a');
  for (size_t i = 0; i < state.size(); ++i)
    state[i] = static_cast<char>(i % 251);
  const int64_t bytes = DeltaBuffer::MaxStateBytes(state.size());
  buffer.AddState(1, state, Charge(bytes));
  std::string received;
  while (!buffer.empty()) {
    const v1::GenerateResponse message = Pop(buffer);
    EXPECT_EQ(message.state_chunk().sample(), 1);
    EXPECT_LE(message.state_chunk().data().size(), kStateChunkBytes);
    received += message.state_chunk().data();
    EXPECT_EQ(account_->bytes(), buffer.empty() ? 0 : bytes);
  }
  EXPECT_EQ(received, state);
}

TEST_F(DeltaBufferTest, LongPromptIsSplitIntoMessages) {
  DeltaBuffer buffer;
  const PromptEvent::Token token = {
      7, -1.5, std::vector<TokenLogprob>(32, TokenLogprob{1 << 30, -2.5})};
  const std::vector<PromptEvent::Token> tokens(5000, token);
  PromptEvent event;
  event.tokens = tokens;
  buffer.AddPrompt(0, event, Charge(DeltaBuffer::MaxBytes(event)));
  int num_tokens = 0;
  while (!buffer.empty()) {
    const v1::GenerateResponse message = Pop(buffer);
    EXPECT_LE(message.ByteSizeLong(), DeltaBuffer::kMaxDeltaBytes + 1024);
    num_tokens += message.delta().prompt_tokens_size();
    EXPECT_EQ(message.delta().prompt_tokens(0).top_logprobs_size(), 32);
  }
  EXPECT_EQ(num_tokens, 5000);
}

}  // namespace
}  // namespace rwkvd
