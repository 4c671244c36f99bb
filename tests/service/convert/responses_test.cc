// SPDX-License-Identifier: Apache-2.0
#include "service/convert/responses.h"

#include <utility>

#include "core/text/load_tokenizer.h"
#include "gtest/gtest.h"
#include "service/convert/token_texts.h"

namespace rwkvd {
namespace {

TEST(ResponsesTest, TokenHasTheRequestedLogprobs) {
  TokenEvent event;
  event.id = 3;
  event.logprob = -2;
  v1::Delta delta;
  AppendToken(event, /*with_logprob=*/false, TokenTexts(), &delta);
  EXPECT_FALSE(delta.tokens(0).has_logprob());
  EXPECT_FALSE(delta.tokens(0).has_drawn_logprob());
  const TokenLogprob top[] = {{4, -0.5}}, top_sampled[] = {{3, 0}, {5, -9}};
  event.top = top;
  event.sampled_logprob = -0.25;
  event.top_sampled = top_sampled;
  AppendToken(event, /*with_logprob=*/true, TokenTexts(), &delta);
  const v1::Token& token = delta.tokens(1);
  EXPECT_EQ(token.logprob(), -2);
  ASSERT_EQ(token.top_logprobs_size(), 1);
  EXPECT_EQ(token.top_logprobs(0).id(), 4);
  EXPECT_EQ(token.drawn_logprob(), -0.25);
  ASSERT_EQ(token.top_drawn_logprobs_size(), 2);
  EXPECT_EQ(token.top_drawn_logprobs(1).id(), 5);
  EXPECT_EQ(token.top_drawn_logprobs(1).logprob(), -9);
}

TEST(ResponsesTest, TextsAreThoseOfTheTokens) {
  const auto tokenizer = LoadTokenizer("bytes");
  ASSERT_TRUE(tokenizer.ok());
  const TokenTexts texts(tokenizer->get());
  const TokenLogprob top[] = {{'x', -0.5}}, top_sampled[] = {{0xFF, 0}};
  TokenEvent event;
  event.id = 'a';
  event.top = top;
  event.top_sampled = top_sampled;
  v1::Delta delta;
  AppendToken(event, /*with_logprob=*/true, texts, &delta);
  const v1::Token& token = delta.tokens(0);
  EXPECT_EQ(token.bytes(), "a");
  EXPECT_EQ(token.text(), "a");
  EXPECT_EQ(token.top_logprobs(0).bytes(), "x");
  EXPECT_EQ(token.top_logprobs(0).text(), "x");
  EXPECT_EQ(token.top_drawn_logprobs(0).bytes(), "\xff");
  EXPECT_EQ(token.top_drawn_logprobs(0).text(), "\xef\xbf\xbd");

  PromptEvent::Token prompt;
  prompt.id = 'p';
  prompt.top = {{'q', -1}};
  AppendPromptToken(prompt, texts, &delta);
  EXPECT_EQ(delta.prompt_tokens(0).text(), "p");
  EXPECT_EQ(delta.prompt_tokens(0).top_logprobs(0).text(), "q");
}

TEST(ResponsesTest, TokensWithoutBytesHaveNoText) {
  const auto tokenizer = LoadTokenizer("bytes");
  ASSERT_TRUE(tokenizer.ok());
  v1::Token token;
  const TokenTexts texts(tokenizer->get());
  texts.Set(5000, &token);  // not in the vocabulary
  EXPECT_EQ(token.bytes(), "");
  EXPECT_EQ(token.text(), "");
  EXPECT_EQ(texts.WireBytes(5000), 0);
  EXPECT_EQ(TokenTexts().WireBytes('a'), 0);
}

TEST(ResponsesTest, WireBytesAreThoseOfTheFields) {
  const auto tokenizer = LoadTokenizer("bytes");
  ASSERT_TRUE(tokenizer.ok());
  const TokenTexts texts(tokenizer->get());
  for (int32_t id = 0; id < 256; ++id) {
    v1::TokenScore token;
    texts.Set(id, &token);
    EXPECT_EQ(texts.WireBytes(id), token.ByteSizeLong()) << id;
  }
}

TEST(ResponsesTest, EveryFieldOfAFinishIsConverted) {
  FinishEvent event;
  event.reason = FinishReason::kStopString;
  event.stop_string = "\n";
  event.bytes = "\xff";
  event.text = "\xef\xbf\xbd";
  event.usage = {5, 2, 3};
  event.times.queue = absl::Seconds(1);
  event.times.prefill = absl::Seconds(2);
  event.times.decode = absl::Seconds(3);
  event.usage.accepted_draft_tokens = 1;
  v1::Finish finish;
  ToProto(event, 99, &finish);
  EXPECT_EQ(finish.reason(), v1::FINISH_REASON_STOP_STRING);
  EXPECT_EQ(finish.stop_string(), "\n");
  EXPECT_EQ(finish.stop_text(), "\n");
  EXPECT_EQ(finish.bytes(), "\xff");
  EXPECT_EQ(finish.text(), "\xef\xbf\xbd");
  EXPECT_EQ(finish.usage().prompt_tokens(), 5);
  EXPECT_EQ(finish.usage().cached_tokens(), 2);
  EXPECT_EQ(finish.usage().generated_tokens(), 3);
  EXPECT_EQ(finish.usage().accepted_draft_tokens(), 1);
  EXPECT_EQ(finish.times().queue_seconds(), 1);
  EXPECT_EQ(finish.times().prefill_seconds(), 2);
  EXPECT_EQ(finish.times().decode_seconds(), 3);
  EXPECT_FALSE(finish.times().has_time_to_first_token_seconds());
  EXPECT_EQ(finish.seed(), 99u);
}

TEST(ResponsesTest, EveryFinishReasonIsConverted) {
  const std::pair<FinishReason, v1::FinishReason> cases[] = {
      {FinishReason::kStopString, v1::FINISH_REASON_STOP_STRING},
      {FinishReason::kStopToken, v1::FINISH_REASON_STOP_TOKEN},
      {FinishReason::kEndOfText, v1::FINISH_REASON_END_OF_TEXT},
      {FinishReason::kLength, v1::FINISH_REASON_LENGTH},
      {FinishReason::kCancelled, v1::FINISH_REASON_CANCELLED},
  };
  for (const auto& [from, to] : cases) {
    FinishEvent event;
    event.reason = from;
    v1::Finish finish;
    ToProto(event, 0, &finish);
    EXPECT_EQ(finish.reason(), to);
  }
}

}  // namespace
}  // namespace rwkvd
