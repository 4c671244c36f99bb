// SPDX-License-Identifier: Apache-2.0
#include "service/convert/score_size.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "core/text/load_tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/convert/token_texts.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

using ::testing::HasSubstr;

void Fill(const std::vector<int32_t>& tokens, bool with_tokens,
          TokenTexts texts, v1::ContinuationScore* score) {
  for (const int32_t id : tokens) {
    if (!with_tokens) break;
    v1::TokenScore* token = score->add_tokens();
    token->set_id(id);
    token->set_logprob(-1.5);
    token->set_is_greedy(true);
    texts.Set(id, token);
  }
  score->set_logprob_sum(-3);
  score->set_token_count(static_cast<int64_t>(tokens.size()));
  score->set_is_greedy(true);
}

// The largest response to `request`.
v1::ScoreResponse LargestResponse(const ScoreRequest& request, bool by_item,
                                  bool with_tokens, TokenTexts texts) {
  v1::ScoreResponse response;
  for (const ScoreItem& item : request.items) {
    v1::ItemScore* scores = by_item ? response.add_items() : nullptr;
    for (const auto& tokens : item.continuations) {
      Fill(tokens, with_tokens, texts,
           scores != nullptr ? scores->add_scores() : response.add_scores());
    }
  }
  const int64_t most = -1;  // has the longest encoding
  response.mutable_usage()->set_prompt_tokens(most);
  response.mutable_usage()->set_cached_tokens(most);
  response.mutable_usage()->set_generated_tokens(most);
  response.mutable_times()->set_queue_seconds(1);
  response.mutable_times()->set_prefill_seconds(1);
  response.mutable_times()->set_decode_seconds(1);
  response.mutable_times()->set_time_to_first_token_seconds(1);
  return response;
}

ScoreRequest SomeRequest() {
  ScoreRequest request;
  request.items.clear();
  request.items.push_back({{1}, {{1, 127, 128, 16383, 16384, 65535}, {7}}});
  request.items.push_back({{}, {std::vector<int32_t>(2000, 300)}});
  return request;
}

TEST(ScoreSizeTest, EqualsTheSizeOfTheLargestResponse) {
  const ScoreRequest request = SomeRequest();
  const auto tokenizer = LoadTokenizer("bytes");
  ASSERT_TRUE(tokenizer.ok());
  for (const TokenTexts texts : {TokenTexts(), TokenTexts(tokenizer->get())}) {
    for (const bool by_item : {false, true}) {
      for (const bool with_tokens : {false, true}) {
        EXPECT_EQ(MaxScoreResponseBytes(request, by_item, with_tokens, texts),
                  LargestResponse(request, by_item, with_tokens, texts)
                      .ByteSizeLong());
      }
    }
  }
}

TEST(ScoreSizeTest, DefaultLimitIsThatOfGrpcClients) {
  v1::ScoreRequest proto;
  ScoreRequest request;
  request.items[0].continuations.assign(4, std::vector<int32_t>(60'000, 255));
  EXPECT_LT(MaxScoreResponseBytes(request, false, true), 4 << 20);
  EXPECT_TRUE(CheckScoreResponseSize(proto, request).ok());
  request.items[0].continuations[0].resize(100'000);
  EXPECT_GT(MaxScoreResponseBytes(request, false, true), 4 << 20);
  const absl::Status refused = CheckScoreResponseSize(proto, request);
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("totals_only"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("ScoreDocument"));
  proto.set_totals_only(true);
  EXPECT_TRUE(CheckScoreResponseSize(proto, request).ok());
}

TEST(ScoreSizeTest, ClientCanChangeTheLimit) {
  const ScoreRequest request = SomeRequest();
  const int64_t bytes = MaxScoreResponseBytes(request, false, true);
  v1::ScoreRequest proto;
  proto.set_max_response_bytes(bytes);
  EXPECT_TRUE(CheckScoreResponseSize(proto, request).ok());
  proto.set_max_response_bytes(bytes - 1);
  EXPECT_FALSE(CheckScoreResponseSize(proto, request).ok());
  for (const int64_t bad : {int64_t{-1}, int64_t{1} << 31}) {
    proto.set_max_response_bytes(bad);
    EXPECT_THAT(std::string(CheckScoreResponseSize(proto, request).message()),
                HasSubstr("is not in [0, 2147483647]"));
  }
}

}  // namespace
}  // namespace rwkvd
