// SPDX-License-Identifier: Apache-2.0
#include "core/engine/sequence/generate_sequence.h"

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/engine/engine_counters.h"
#include "core/engine/sequence/logits_buffer.h"
#include "core/engine/vocabulary.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_tokenizer.h"
#include "tests/testing/recording_sink.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr absl::Time kStart = absl::UnixEpoch();

// Runs `request` on a model that predicts the tokens `predicted` one by one.
// Finishes the sequence when it is complete, or as cancelled after the last
// one.
Recording Generate(GenerateRequest request, std::vector<std::string> vocabulary,
                   const std::vector<int32_t>& predicted,
                   std::optional<TokenId> end_of_text = std::nullopt) {
  const FakeTokenizer tokenizer(std::move(vocabulary), end_of_text);
  request.prompt = {0};
  request.sampling.temperature = 0;
  if (request.max_tokens == 0) request.max_tokens = 1000;
  RecordingSink sink;
  EngineCounters counters;
  GenerateSequence generation(1, request,
                              VocabularyOf(tokenizer, tokenizer.size()),
                              &tokenizer, &sink, &counters);
  generation.AdmitFrom(State(), kStart);
  LogitsBuffer buffer(1, tokenizer.size());
  std::optional<FinishReason> reason;
  for (size_t i = 0; i < predicted.size() && !reason.has_value(); ++i) {
    std::vector<Chunk> chunks;
    buffer.Clear();
    generation.Plan(1, &buffer, &chunks);
    // Each step processes the token that was sampled last.
    EXPECT_THAT(chunks[0].tokens, ElementsAre(i == 0 ? 0 : predicted[i - 1]));
    std::fill(chunks[0].logits.begin(), chunks[0].logits.end(), 0.0f);
    chunks[0].logits[predicted[i]] = 1;
    generation.ProcessLogits(0);
    reason = generation.SendResults(kStart);
  }
  generation.Finish(reason.value_or(FinishReason::kCancelled), absl::OkStatus(),
                    kStart);
  return sink.Peek();
}

TEST(GenerateSequenceTest, IgnoredEndOfTextDoesNotEndTheOutput) {
  GenerateRequest request;
  request.max_tokens = 3;
  EXPECT_EQ(Generate(request, {"", "b"}, {1, 0, 1}, 0).reason,
            FinishReason::kEndOfText);
  request.ignore_end_of_text = true;
  const Recording result = Generate(request, {"", "b"}, {1, 0, 1}, 0);
  EXPECT_THAT(result.Ids(), ElementsAre(1, 0, 1));
  EXPECT_EQ(result.reason, FinishReason::kLength);
}

TEST(GenerateSequenceTest, StopStringsAreNotSearchedBeforeMinTokens) {
  GenerateRequest request;
  request.stop_strings = {"ab"};
  request.sampling.min_tokens = 3;
  const Recording result = Generate(request, {"a", "b"}, {0, 1, 0, 1, 0, 1, 0});
  EXPECT_THAT(result.Ids(), ElementsAre(0, 1, 0, 1, 0, 1));
  EXPECT_EQ(result.bytes, "abab");
  EXPECT_EQ(result.reason, FinishReason::kStopString);
}

TEST(GenerateSequenceTest, EndsAfterMaxTokens) {
  GenerateRequest request;
  request.max_tokens = 2;
  const Recording result = Generate(request, {"a", "b", "c"}, {2, 1, 0});
  EXPECT_THAT(result.Ids(), ElementsAre(2, 1));
  EXPECT_EQ(result.bytes, "cb");
  EXPECT_EQ(result.reason, FinishReason::kLength);
  EXPECT_EQ(result.usage.generated_tokens, 2);
}

TEST(GenerateSequenceTest, StopTokenIsSentButNotPartOfTheAnswer) {
  GenerateRequest request;
  request.stop_tokens = {7, 1};
  const Recording result = Generate(request, {"a", "b", "c"}, {2, 1, 0});
  EXPECT_THAT(result.Ids(), ElementsAre(2, 1));
  EXPECT_EQ(result.bytes, "c");
  EXPECT_EQ(result.tokens[1].bytes, "");
  EXPECT_EQ(result.reason, FinishReason::kStopToken);
}

TEST(GenerateSequenceTest, EndOfTextEndsTheAnswer) {
  const Recording result = Generate({}, {"", "b", "c"}, {2, 0, 1}, 0);
  EXPECT_THAT(result.Ids(), ElementsAre(2, 0));
  EXPECT_EQ(result.bytes, "c");
  EXPECT_EQ(result.reason, FinishReason::kEndOfText);
}

TEST(GenerateSequenceTest, EndingTokenReleasesWithheldBytes) {
  GenerateRequest request;
  request.stop_strings = {"bbbc"};
  const Recording result = Generate(request, {"", "b"}, {1, 1, 0}, 0);
  EXPECT_EQ(result.tokens[1].bytes, "");
  EXPECT_EQ(result.last_bytes, "bb");
  EXPECT_EQ(result.last_text, "bb");
  EXPECT_EQ(result.reason, FinishReason::kEndOfText);
}

TEST(GenerateSequenceTest, StopStringEndsTheAnswerBeforeItself) {
  GenerateRequest request;
  request.stop_strings = {"zz", "lo, w"};
  const Recording result =
      Generate(request, {"", "Hel", "lo", ", world", "!"}, {1, 2, 3, 4});
  EXPECT_THAT(result.Ids(), ElementsAre(1, 2, 3));
  EXPECT_EQ(result.tokens[0].bytes, "He");  // "l" may begin the stop string
  EXPECT_EQ(result.tokens[1].bytes, "l");   // "lo" may begin it, too
  EXPECT_EQ(result.bytes, "Hel");
  EXPECT_EQ(result.text, "Hel");
  EXPECT_EQ(result.last_bytes, "");
  EXPECT_EQ(result.reason, FinishReason::kStopString);
  EXPECT_EQ(result.stop_string, "lo, w");
}

TEST(GenerateSequenceTest, BytesBeforeStopStringInTheSameTokenAreSent) {
  GenerateRequest request;
  request.stop_strings = {"X"};
  const Recording result = Generate(request, {"", "abcXdef"}, {1});
  EXPECT_EQ(result.tokens[0].bytes, "abc");
  EXPECT_EQ(result.tokens[0].text, "abc");
}

TEST(GenerateSequenceTest, StopStringTakesPrecedenceOverMaxTokens) {
  GenerateRequest request;
  request.stop_strings = {"b"};
  request.max_tokens = 1;
  EXPECT_EQ(Generate(request, {"a", "b"}, {1}).reason,
            FinishReason::kStopString);
}

TEST(GenerateSequenceTest,
     WithheldBytesAreReleasedOnceTheyCannotBeAStopString) {
  GenerateRequest request;
  request.stop_strings = {"aab"};
  const Recording result = Generate(request, {"a", "b", "c"}, {0, 0, 0, 2});
  EXPECT_EQ(result.tokens[1].bytes, "");
  EXPECT_EQ(result.tokens[2].bytes, "a");
  EXPECT_EQ(result.tokens[3].bytes, "aac");
}

TEST(GenerateSequenceTest, CharacterSplitAcrossTokensIsSentOnceComplete) {
  GenerateRequest request;
  request.max_tokens = 3;
  const Recording result =
      Generate(request, {"", "\xe4\xbd", "\xa0", "!"}, {1, 2, 3});
  EXPECT_EQ(result.tokens[0].bytes, "\xe4\xbd");
  EXPECT_EQ(result.tokens[0].text, "");
  EXPECT_EQ(result.tokens[1].text, "\xe4\xbd\xa0");
  EXPECT_EQ(result.text, "\xe4\xbd\xa0!");
}

TEST(GenerateSequenceTest, IncompleteCharacterIsReplacedAtTheEnd) {
  GenerateRequest request;
  request.max_tokens = 2;
  const Recording cut = Generate(request, {"", "a", "\xe4\xbd"}, {1, 2});
  EXPECT_EQ(cut.bytes, "a\xe4\xbd");
  EXPECT_EQ(cut.last_text, "\xef\xbf\xbd");

  // Before a stop string, the replacement is in the text of the last token.
  request.stop_strings = {"X"};
  const Recording stopped = Generate(request, {"", "\xe4\xbd", "X"}, {1, 2});
  EXPECT_EQ(stopped.tokens[1].text, "\xef\xbf\xbd");
  EXPECT_EQ(stopped.bytes, "\xe4\xbd");
  EXPECT_EQ(stopped.last_text, "");
}

TEST(GenerateSequenceTest, CancelledAnswerIncludesWithheldBytes) {
  GenerateRequest request;
  request.stop_strings = {"bbb"};
  const Recording result = Generate(request, {"a", "b"}, {0, 1, 1});
  EXPECT_EQ(result.reason, FinishReason::kCancelled);
  EXPECT_EQ(result.bytes, "abb");
  EXPECT_EQ(result.last_bytes, "bb");
}

TEST(GenerateSequenceTest, SendsLogprobsOfTheModelOnRequestOnly) {
  GenerateRequest request;
  request.max_tokens = 1;
  EXPECT_EQ(Generate(request, {"a", "b", "c"}, {1}).tokens[0].logprob, 0);

  request.want_logprobs = true;
  // Logits 0, 1, 0.
  const double sum = std::log(2 + std::exp(1.0));
  const Recording result = Generate(request, {"a", "b", "c"}, {1});
  EXPECT_NEAR(result.tokens[0].logprob, 1 - sum, 1e-12);
  EXPECT_THAT(result.tokens[0].top, IsEmpty());
}

TEST(GenerateSequenceTest, SendsLogprobsAfterSamplersOnRequestOnly) {
  GenerateRequest request;
  request.max_tokens = 1;
  EXPECT_EQ(Generate(request, {"a", "b"}, {1}).tokens[0].sampled_logprob,
            std::nullopt);
  request.want_sampled_logprobs = true;  // greedy: the only token
  EXPECT_EQ(Generate(request, {"a", "b"}, {1}).tokens[0].sampled_logprob, 0.0);
  request.want_sampled_logprobs = false;
  request.top_sampled_logprobs = 3;  // implies it
  const Recording result = Generate(request, {"a", "b"}, {1});
  EXPECT_EQ(result.tokens[0].sampled_logprob, 0.0);
  EXPECT_THAT(result.tokens[0].top_sampled, ElementsAre(Pair(1, 0.0)));
}

TEST(GenerateSequenceTest, PenaltiesCountThePromptOnRequest) {
  // The prompt is 0, and the model predicts 0 again, with logit 1 against 0.
  GenerateRequest request;
  request.max_tokens = 1;
  request.sampling.presence_penalty = 2;
  EXPECT_THAT(Generate(request, {"a", "b"}, {0}).Ids(), ElementsAre(0));
  request.sampling.penalty_scope = PenaltyScope::kPrompt;
  EXPECT_THAT(Generate(request, {"a", "b"}, {0}).Ids(), ElementsAre(1));
}

TEST(GenerateSequenceTest, ListsTopLogprobs) {
  GenerateRequest request;
  request.max_tokens = 1;
  request.top_logprobs = 2;  // implies want_logprobs
  const Recording result = Generate(request, {"a", "b", "c"}, {1});
  ASSERT_EQ(result.tokens[0].top.size(), 2);
  EXPECT_EQ(result.tokens[0].top[0].first, 1);
  EXPECT_EQ(result.tokens[0].top[0].second, result.tokens[0].logprob);
  EXPECT_EQ(result.tokens[0].top[1].first, 0);  // as likely as token 2
  EXPECT_NEAR(result.tokens[0].top[1].second, -std::log(2 + std::exp(1.0)),
              1e-12);
}

}  // namespace
}  // namespace rwkvd
