// SPDX-License-Identifier: Apache-2.0
#include "service/vllm/vllm_messages.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/byte_budget.h"
#include "gtest/gtest.h"
#include "service/vllm/vllm_request.h"
#include "tests/testing/fake_tokenizer.h"

namespace rwkvd {
namespace {

namespace pb = ::vllm::grpc::engine;

// Messages that charge a budget of their own.
class VllmMessagesTest : public testing::Test {
 protected:
  ResponseCharge Charge(int64_t bytes) {
    return *ResponseCharge::Take(account_, bytes);
  }
  void AddToken(VllmMessages& messages, int32_t sample, int32_t id,
                const std::vector<TokenLogprob>& top = {},
                absl::string_view released = "") {
    TokenEvent event;
    event.id = id;
    event.bytes = released;
    event.top = top;
    messages.AddToken(sample, event, Charge(VllmMessages::MaxBytes(event)));
  }
  static pb::GenerateResponse Parse(const GenerateMessage& message) {
    std::vector<grpc::Slice> slices;
    EXPECT_TRUE(message.bytes.Dump(&slices).ok());
    std::string bytes;
    for (const grpc::Slice& slice : slices) {
      bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
    pb::GenerateResponse response;
    EXPECT_TRUE(response.ParseFromString(bytes));
    return response;
  }

  const std::shared_ptr<ByteBudget> budget_ =
      std::make_shared<ByteBudget>(int64_t{1} << 30);
  const std::shared_ptr<ResponseAccount> account_ =
      std::make_shared<ResponseAccount>(budget_);
};

TEST_F(VllmMessagesTest, TokensThatWaitShareAChunk) {
  VllmMessages messages({.stream = true}, 2);
  EXPECT_TRUE(messages.empty());
  AddToken(messages, 0, 1);
  AddToken(messages, 1, 2);
  AddToken(messages, 0, 3);
  const pb::GenerateResponse first = Parse(messages.Pop());
  ASSERT_EQ(first.chunk().token_ids_size(), 2);
  EXPECT_EQ(first.chunk().token_ids(1), 3u);
  EXPECT_EQ(first.chunk().completion_tokens(), 2u);
  EXPECT_EQ(Parse(messages.Pop()).chunk().index(), 1u);
  EXPECT_TRUE(messages.empty());
  AddToken(messages, 0, 4);  // after its chunk was popped
  EXPECT_EQ(Parse(messages.Pop()).chunk().token_ids(0), 4u);
  EXPECT_EQ(budget_->used(), 0);
}

TEST_F(VllmMessagesTest, FullChunkIsFollowedByAnother) {
  VllmMessages messages({.stream = true, .with_logprobs = true}, 1);
  const std::vector<TokenLogprob> top(20, TokenLogprob{1, -1});
  for (int i = 0; i < 2000; ++i) AddToken(messages, 0, i, top);
  int num_tokens = 0, num_chunks = 0;
  for (; !messages.empty(); ++num_chunks) {
    const pb::GenerateResponse response = Parse(messages.Pop());
    EXPECT_LT(response.ByteSizeLong(), size_t{512} << 10);
    num_tokens += response.chunk().token_ids_size();
  }
  EXPECT_EQ(num_tokens, 2000);
  EXPECT_GT(num_chunks, 2);
  EXPECT_EQ(budget_->used(), 0);
}

TEST_F(VllmMessagesTest, WithoutStreamAllTokensAreInTheComplete) {
  VllmMessages messages({}, 1);
  AddToken(messages, 0, 1);
  AddToken(messages, 0, 2);
  EXPECT_TRUE(messages.empty());
  ::rwkv::v1::Finish finish;
  finish.set_reason(::rwkv::v1::FINISH_REASON_STOP_TOKEN);
  messages.AddFinish(0, finish, Charge(VllmMessages::MaxBytes(finish)));
  const GenerateMessage message = messages.Pop();
  EXPECT_TRUE(message.has_tokens);
  const pb::GenerateResponse response = Parse(message);
  EXPECT_EQ(response.complete().output_ids_size(), 2);
  EXPECT_EQ(response.complete().matched_token_id(), 2u);
  EXPECT_TRUE(messages.empty());
}

TEST_F(VllmMessagesTest, HeldTokensAreSentOnceTheirTextIsReleased) {
  const FakeTokenizer tokenizer({"a.\n", "\n", "U", "V"});
  VllmMessages messages(
      {.stream = true, .hidden_stops = {"\n\nU"}, .tokenizer = &tokenizer}, 1);
  AddToken(messages, 0, 0, {}, "a.");  // whose line feed is held
  EXPECT_EQ(Parse(messages.Pop()).chunk().token_ids(0), 0u);
  AddToken(messages, 0, 1);
  EXPECT_TRUE(messages.empty());
  AddToken(messages, 0, 3, {}, "\n\nV");
  EXPECT_EQ(Parse(messages.Pop()).chunk().token_ids_size(), 2);
  AddToken(messages, 0, 1);
  messages.Clear();
  EXPECT_EQ(budget_->used(), 0);
}

TEST_F(VllmMessagesTest, HeldTokensOfAHiddenStopAreDropped) {
  const FakeTokenizer tokenizer({"a", "\n", "U"});
  VllmMessages messages(
      {.stream = true, .hidden_stops = {"\nU"}, .tokenizer = &tokenizer}, 2);
  ::rwkv::v1::Finish finish;
  finish.set_reason(::rwkv::v1::FINISH_REASON_STOP_STRING);
  for (const char* const stop : {"\nU", "U"}) {
    const int32_t sample = stop[0] == 'U' ? 1 : 0;
    AddToken(messages, sample, 1);
    AddToken(messages, sample, 2);
    finish.set_stop_text(stop);
    messages.AddFinish(sample, finish, Charge(VllmMessages::MaxBytes(finish)));
  }
  EXPECT_FALSE(Parse(messages.Pop()).complete().has_matched_stop_str());
  EXPECT_EQ(Parse(messages.Pop()).chunk().token_ids_size(), 2);
  EXPECT_EQ(Parse(messages.Pop()).complete().matched_stop_str(), "U");
  EXPECT_EQ(budget_->used(), 0);
}

TEST_F(VllmMessagesTest, AnswerThatIsAcceptedFitsInItsMemory) {
  constexpr int32_t kTokens = 50, kHeld = 4;
  GenerateInput input;
  input.samples = {2, 2};
  input.request.max_tokens = kTokens;
  input.request.want_logprobs = true;
  input.request.top_logprobs = 2;
  input.request.stop_strings = {"\n\n\n\n"};
  int64_t memory = 0;
  while (!CheckVllmAnswer(input, /*holds_tokens=*/true, memory).ok()) ++memory;
  const auto account =
      std::make_shared<ResponseAccount>(std::make_shared<ByteBudget>(memory));
  const FakeTokenizer tokenizer({"\n"});
  VllmMessages messages({.with_logprobs = true,
                         .hidden_stops = input.request.stop_strings,
                         .tokenizer = &tokenizer},
                        2);
  const std::vector<TokenLogprob> top(2);
  for (int32_t i = 0; i < 2 * kTokens; ++i) {
    TokenEvent event;
    event.bytes = i / 2 < kTokens - kHeld ? "\n" : "";
    event.top = top;
    auto charge = ResponseCharge::Take(account, VllmMessages::MaxBytes(event));
    ASSERT_TRUE(charge.has_value()) << i;
    messages.AddToken(i % 2, event, *std::move(charge));
  }
  for (const int32_t sample : {0, 1}) {
    ::rwkv::v1::Finish finish;
    finish.set_reason(::rwkv::v1::FINISH_REASON_LENGTH);
    auto charge = ResponseCharge::Take(account, VllmMessages::MaxBytes(finish));
    ASSERT_TRUE(charge.has_value());
    messages.AddFinish(sample, finish, *std::move(charge));
  }
  for (int sample = 0; sample < 2; ++sample) {
    EXPECT_EQ(Parse(messages.Pop()).complete().output_ids_size(), kTokens);
  }
}

TEST_F(VllmMessagesTest, ClearReturnsTheMemory) {
  VllmMessages messages({.stream = true}, 1);
  AddToken(messages, 0, 1);
  EXPECT_GT(budget_->used(), 0);
  messages.Clear();
  EXPECT_TRUE(messages.empty());
  EXPECT_EQ(budget_->used(), 0);
}

}  // namespace
}  // namespace rwkvd
