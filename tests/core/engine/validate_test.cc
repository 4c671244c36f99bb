// SPDX-License-Identifier: Apache-2.0
#include "core/engine/validate.h"

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "core/engine/snapshot.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

constexpr int64_t kVocabSizeOfRequests = 100;

EngineOptions SmallOptions() {
  EngineOptions options;
  options.max_prompt_tokens = 10;
  options.max_generated_tokens = 20;
  options.max_score_tokens = 15;
  options.max_top_logprobs = 5;
  return options;
}

GenerateRequest ValidGenerate() {
  GenerateRequest request;
  request.prompt = {0, 99};
  request.max_tokens = 1;
  return request;
}

ScoreRequest ValidScore() {
  ScoreRequest request;
  request.items[0].context = {1, 2, 3};
  request.items[0].continuations = {{4}, {5, 6}};
  return request;
}

// Checks the request and its start.
absl::Status ValidateAll(const GenerateRequest& request) {
  const absl::Status status =
      Validate(request, SmallOptions(), kVocabSizeOfRequests);
  return status.ok() ? ValidateStart(request, SmallOptions()) : status;
}

std::string MessageOf(const GenerateRequest& request) {
  const absl::Status status = ValidateAll(request);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

std::string MessageOf(const ScoreRequest& request) {
  const absl::Status status =
      Validate(request, SmallOptions(), kVocabSizeOfRequests);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

TEST(ValidateTest, AcceptsRequestsAtTheirLimits) {
  GenerateRequest generate = ValidGenerate();
  EXPECT_TRUE(Validate(generate, SmallOptions(), kVocabSizeOfRequests).ok());
  generate.prompt.assign(10, 1);
  generate.max_tokens = 20;
  generate.stop_strings.assign(16, std::string(1024, 'x'));
  generate.stop_tokens.assign(256, 99);
  generate.top_logprobs = 5;
  EXPECT_TRUE(Validate(generate, SmallOptions(), kVocabSizeOfRequests).ok());
  generate.prompt.clear();
  EXPECT_TRUE(Validate(generate, SmallOptions(), kVocabSizeOfRequests).ok());

  ScoreRequest score = ValidScore();
  EXPECT_TRUE(Validate(score, SmallOptions(), kVocabSizeOfRequests).ok());
  score.items[0].continuations = {std::vector<int32_t>(7, 1),
                                  std::vector<int32_t>(5, 1)};
  EXPECT_TRUE(Validate(score, SmallOptions(), kVocabSizeOfRequests).ok());
  score.items[0].context.clear();
  score.items[0].continuations.assign(15, {1});
  EXPECT_TRUE(Validate(score, SmallOptions(), kVocabSizeOfRequests).ok());
}

TEST(ValidateTest, NamesTokenOutsideTheVocabulary) {
  GenerateRequest generate = ValidGenerate();
  generate.prompt = {1, 2, 3, 100};
  EXPECT_EQ(MessageOf(generate), "prompt[3]: token 100 is not in [0, 100)");
  generate.prompt = {-1};
  EXPECT_EQ(MessageOf(generate), "prompt[0]: token -1 is not in [0, 100)");
  generate = ValidGenerate();
  generate.stop_tokens = {5, 1000};
  EXPECT_EQ(MessageOf(generate),
            "stop_tokens[1]: token 1000 is not in [0, 100)");
  generate = ValidGenerate();
  generate.echo_top_logprobs = 6;
  EXPECT_EQ(MessageOf(generate), "echo_top_logprobs: 6 is not in [0, 5]");

  ScoreRequest score = ValidScore();
  score.items[0].context[1] = -7;
  EXPECT_EQ(MessageOf(score),
            "items[0].context[1]: token -7 is not in [0, 100)");
  score = ValidScore();
  score.items[0].continuations[1][0] = 100;
  EXPECT_EQ(MessageOf(score),
            "items[0].continuations[1][0]: token 100 is not in [0, 100)");
}

TEST(ValidateTest, RefusesMoreMinTokensThanMaxTokens) {
  GenerateRequest request = ValidGenerate();
  request.sampling.min_tokens = 2;
  EXPECT_EQ(MessageOf(request), "sampling.min_tokens: 2 is not in [0, 1]");
}

TEST(ValidateTest, NamesFieldOfGenerateRequestBeyondItsLimit) {
  GenerateRequest request = ValidGenerate();
  request.prompt.assign(11, 1);
  EXPECT_EQ(MessageOf(request), "prompt: has 11 tokens, must have 0 to 10");
  for (const int64_t max_tokens : {-1, 21}) {
    request = ValidGenerate();
    request.max_tokens = max_tokens;
    EXPECT_EQ(MessageOf(request), "max_tokens: " + std::to_string(max_tokens) +
                                      " is not in [0, 20]");
  }
  for (const char* name : {"", "a b", "caf\xc3\xa9", "a/b"}) {
    request = ValidGenerate();
    request.pin = PinRequest{name};
    EXPECT_EQ(MessageOf(request).find("pin.name: \""), 0) << name;
  }
  request.pin = PinRequest{std::string(65, 'a')};
  EXPECT_EQ(MessageOf(request).find("pin.name: \""), 0);
  for (const int32_t top_logprobs : {-1, 6}) {
    request = ValidGenerate();
    request.top_logprobs = top_logprobs;
    EXPECT_EQ(
        MessageOf(request),
        "top_logprobs: " + std::to_string(top_logprobs) + " is not in [0, 5]");
  }
  request = ValidGenerate();
  request.sampling.top_p = std::nanf("");
  EXPECT_EQ(MessageOf(request), "sampling.top_p: nan is not in (0, 1]");
}

TEST(ValidateTest, LimitsTheTokensOfSnapshotAndPrompt) {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->logits.assign(kVocabSizeOfRequests, 0);
  snapshot->tokens.assign(28, 1);
  GenerateRequest request = ValidGenerate();
  request.start = snapshot;
  EXPECT_TRUE(ValidateAll(request).ok());
  snapshot->tokens.push_back(1);
  EXPECT_EQ(MessageOf(request),
            "prompt: has 31 tokens together with its state, must have 0 to "
            "30");
}

TEST(ValidateTest, NamesFieldThatDoesNotSuitTheSnapshot) {
  const auto from = [](const Snapshot& snapshot) {
    GenerateRequest request = ValidGenerate();
    request.start = std::make_shared<Snapshot>(snapshot);
    return request;
  };
  const auto resumed = [&](const Snapshot& snapshot) {
    GenerateRequest request = from(snapshot);
    request.prompt.clear();
    request.resume = true;
    request.max_tokens = 5;
    return request;
  };
  Snapshot snapshot;
  snapshot.tokens = {1, 2};
  snapshot.num_pending = 1;
  snapshot.is_resumable = true;
  snapshot.generated_tokens = 2;
  snapshot.withheld_bytes = "us";
  GenerateRequest request = resumed(snapshot);
  request.stop_strings = {"user"};
  EXPECT_TRUE(ValidateAll(request).ok());

  request.stop_strings = {"else"};
  EXPECT_EQ(MessageOf(request),
            "stop_strings: differ from those of the resumed request");
  request.stop_strings = {"us"};
  EXPECT_EQ(MessageOf(request).find("stop_strings: "), 0);
  snapshot.withheld_bytes.clear();
  request = resumed(snapshot);
  request.max_tokens = 2;
  EXPECT_EQ(MessageOf(request),
            "max_tokens: 2 is not more than the 2 tokens generated before");
  request = resumed(snapshot);
  request.prompt = {1};
  EXPECT_EQ(MessageOf(request).find("prompt: must be empty"), 0);
  request = ValidGenerate();
  request.resume = true;
  EXPECT_EQ(MessageOf(request).find("resume: "), 0);
  request = from(snapshot);
  request.pin = PinRequest{"a"};
  EXPECT_EQ(MessageOf(request).find("pin: "), 0);
  snapshot.is_resumable = false;
  EXPECT_EQ(MessageOf(resumed(snapshot)).find("resume: "), 0);
  snapshot.num_pending = 0;
  request = from(snapshot);
  request.prompt.clear();
  EXPECT_EQ(MessageOf(request).find("prompt: must not be empty"), 0);
  snapshot.tokens.assign(40, 1);
  EXPECT_EQ(MessageOf(from(snapshot)).find("prompt: has"), 0);
}

TEST(ValidateTest, NamesStopBeyondItsLimit) {
  GenerateRequest request = ValidGenerate();
  request.stop_strings = {"a", ""};
  EXPECT_EQ(MessageOf(request),
            "stop_strings[1]: has 0 bytes, must have 1 to 1024");
  request.stop_strings = {std::string(1025, 'x')};
  EXPECT_EQ(MessageOf(request),
            "stop_strings[0]: has 1025 bytes, must have 1 to 1024");
  request.stop_strings.assign(17, "x");
  EXPECT_EQ(MessageOf(request),
            "stop_strings: has 17 strings, must have 0 to 16");
  request.num_added_stops = 1;
  EXPECT_TRUE(Validate(request, SmallOptions(), kVocabSizeOfRequests).ok());
  request = ValidGenerate();
  request.stop_tokens.assign(257, 1);
  EXPECT_EQ(MessageOf(request),
            "stop_tokens: has 257 tokens, must have 0 to 256");
}

TEST(ValidateTest, NamesFieldOfScoreRequestBeyondItsLimit) {
  ScoreRequest request = ValidScore();
  request.items[0].context.assign(10, 1);
  EXPECT_EQ(MessageOf(request),
            "items[0].context: has 10 tokens, must have 0 to 9");
  request = ValidScore();
  request.items[0].continuations.clear();
  EXPECT_EQ(MessageOf(request),
            "items[0].continuations: has 0 entries, must have 1 to 1024");
  request.items[0].continuations.assign(1025, {1});
  EXPECT_EQ(MessageOf(request),
            "items[0].continuations: has 1025 entries, must have 1 to 1024");
  request.items[0].continuations = {{1}, {}};
  EXPECT_EQ(MessageOf(request),
            "items[0].continuations[1]: has 0 tokens, must have 1 to 7");
  request.items[0].continuations = {{1}, std::vector<int32_t>(8, 1)};
  EXPECT_EQ(MessageOf(request),
            "items[0].continuations[1]: has 8 tokens, must have 1 to 7");
  request.items[0].continuations.assign(13, {1});
  EXPECT_EQ(
      MessageOf(request),
      "items: has 16 tokens in all contexts and continuations, must have 1 "
      "to 15");
  request = ValidScore();
  request.items.push_back(request.items[0]);
  request.items[1].continuations[1][1] = 100;
  EXPECT_EQ(MessageOf(request),
            "items[1].continuations[1][1]: token 100 is not in [0, "
            "100)");
  request.items.assign(1025, {});
  EXPECT_EQ(MessageOf(request), "items: has 1025 entries, must have 1 to 1024");
  request.items.assign(5, {{}, std::vector(1024, std::vector<int32_t>{1})});
  EXPECT_EQ(MessageOf(request),
            "items: has 5120 continuations, must have 1 to 4096");
}

}  // namespace
}  // namespace rwkvd
