// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/params.h"

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "core/base/field_error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/sampling/rows.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

struct Field {
  std::string name;
  float SamplingParams::*member;
  std::vector<float> valid;
  std::vector<float> invalid;
};

std::vector<Field> Fields() {
  return {
      {"sampling.temperature",
       &SamplingParams::temperature,
       {0, 1, 100},
       {-0.001f, 100.1f, kNan, kInfinity}},
      {"sampling.top_p",
       &SamplingParams::top_p,
       {1e-6f, 1},
       {0, -0.5f, 1.001f, kNan, kInfinity}},
      {"sampling.presence_penalty",
       &SamplingParams::presence_penalty,
       {-100, 0, 100},
       {-100.1f, 100.1f, kNan, -kInfinity}},
      {"sampling.frequency_penalty",
       &SamplingParams::frequency_penalty,
       {-100, 0, 100},
       {-100.1f, 100.1f, kNan, kInfinity}},
      {"sampling.repetition_penalty",
       &SamplingParams::repetition_penalty,
       {0.01f, 1, 100},
       {0, 0.009f, 100.1f, kNan, kInfinity}},
      {"sampling.tail_free_z",
       &SamplingParams::tail_free_z,
       {1e-6f, 1},
       {0, 1.001f, kNan}},
      {"sampling.typical_p",
       &SamplingParams::typical_p,
       {1e-6f, 1},
       {0, 1.001f, kNan}},
      {"sampling.min_p",
       &SamplingParams::min_p,
       {0, 0.05f, 1},
       {-0.001f, 1.001f, kNan}},
      {"sampling.penalty_decay",
       &SamplingParams::penalty_decay,
       {0, 0.996f, 1},
       {-0.1f, 1.001f, kNan, kInfinity}},
  };
}

TEST(SamplingParamsTest, DefaultsAreValid) {
  EXPECT_TRUE(Validate(SamplingParams()).ok());
}

TEST(SamplingParamsTest, AcceptsEndsOfEachRange) {
  for (const Field& field : Fields()) {
    for (const float value : field.valid) {
      SamplingParams params;
      params.*field.member = value;
      EXPECT_TRUE(Validate(params).ok()) << field.name << " " << value;
    }
  }
}

TEST(SamplingParamsTest, OutOfRangeErrorNamesField) {
  for (const Field& field : Fields()) {
    for (const float value : field.invalid) {
      SamplingParams params;
      params.*field.member = value;
      const absl::Status status = Validate(params);
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_TRUE(absl::StartsWith(status.message(), field.name + ": "))
          << status;
    }
  }
}

TEST(SamplingParamsTest, TopKRefusesOnlyNegativeValues) {
  SamplingParams params;
  params.top_k = 0x7fffffff;
  EXPECT_TRUE(Validate(params).ok());
  params.top_k = -1;
  EXPECT_EQ(Validate(params).message(),
            "sampling.top_k: -1 is not in [0, 2147483647]; 0 keeps all tokens");
}

TEST(SamplingParamsTest, MessageShowsHowAValueDiffersFromItsBound) {
  SamplingParams params;
  params.top_p = std::nextafter(1.0f, 2.0f);
  EXPECT_EQ(Validate(params).message(),
            "sampling.top_p: 1.0000001 is not in (0, 1]");
  params.top_p = 1;
  params.temperature = std::nextafter(100.0f, 200.0f);
  EXPECT_EQ(Validate(params).message(),
            "sampling.temperature: 100.00001 is not in [0, 100]");
}

TEST(SamplingParamsTest, TopPOfZeroPointsToTemperatureZero) {
  SamplingParams params;
  params.top_p = 0;
  EXPECT_EQ(Validate(params).message(),
            "sampling.top_p: 0 is not in (0, 1]; for the most likely token, "
            "use temperature 0; 1 keeps all tokens");
}

using Spoil = void (*)(SamplingParams&);

// Returns the error message of Validate for defaults changed by `spoil`.
std::string ErrorOf(Spoil spoil) {
  SamplingParams params;
  spoil(params);
  const absl::Status status = Validate(params);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StartsWith(status.message(),
                               FieldOf(status).value_or("none") + ": "))
      << status;
  return std::string(status.message());
}

TEST(SamplingParamsTest, IntegerAndMessageErrorsNameField) {
  const std::pair<Spoil, std::string> cases[] = {
      {[](auto& p) { p.repetition_window = -1; }, "repetition_window"},
      {[](auto& p) { p.repetition_window = 65537; }, "repetition_window"},
      {[](auto& p) { p.penalty_window = -1; }, "penalty_window"},
      {[](auto& p) { p.penalty_window = 65537; }, "penalty_window"},
      {[](auto& p) { p.sequence_repetition.flat_penalty = kNan; },
       "sequence_repetition.flat_penalty"},
      {[](auto& p) { p.sequence_repetition.stacking_penalty = 101; },
       "sequence_repetition.stacking_penalty"},
      {[](auto& p) { p.sequence_repetition.min_length = 0; },
       "sequence_repetition.min_length"},
      {[](auto& p) { p.sequence_repetition.window = 1; },
       "sequence_repetition.window"},
      {[](auto& p) { p.sequence_repetition.window = 257; },
       "sequence_repetition.window"},
      {[](auto& p) { p.sequence_repetition.tolerance = 5; },
       "sequence_repetition.tolerance"},
      {[](auto& p) { p.sequence_repetition.max_merge = 0; },
       "sequence_repetition.max_merge"},
      {[](auto& p) { p.mirostat.version = 3; }, "mirostat.version"},
      {[](auto& p) { p.mirostat = {.version = 1, .tau = 0}; }, "mirostat.tau"},
      {[](auto& p) { p.mirostat = {.version = 2, .eta = kNan}; },
       "mirostat.eta"},
      {[](auto& p) {
         p.logit_bias = {{1, 0}, {2, kNan}};
       },
       "logit_bias[1].bias"},
      {[](auto& p) { p.logit_bias.resize(65537); }, "logit_bias"},
  };
  for (const auto& [spoil, field] : cases) {
    EXPECT_TRUE(absl::StartsWith(ErrorOf(spoil), "sampling." + field + ": "))
        << ErrorOf(spoil);
  }
}

TEST(SamplingParamsTest, MirostatExcludesTruncationSamplers) {
  const std::pair<Spoil, std::string> cases[] = {
      {[](auto& p) { p.top_k = 40; }, "sampling.top_k"},
      {[](auto& p) { p.top_p = 0.9f; }, "sampling.top_p"},
      {[](auto& p) { p.tail_free_z = 0.9f; }, "sampling.tail_free_z"},
      {[](auto& p) { p.typical_p = 0.9f; }, "sampling.typical_p"},
      {[](auto& p) { p.min_p = 0.1f; }, "sampling.min_p"},
      {[](auto& p) { p.temperature = 0; }, "sampling.temperature=0"},
  };
  for (const auto& [change, other] : cases) {
    SamplingParams params;
    change(params);
    EXPECT_TRUE(Validate(params).ok());
    params.mirostat.version = 2;
    EXPECT_EQ(Validate(params).message(),
              "sampling.mirostat: selects the candidates itself and cannot be "
              "combined with: " +
                  other);
  }
}

std::string TokensErrorOf(Spoil spoil) {
  SamplingParams params;
  spoil(params);
  const SamplingVocabulary vocabulary = {.num_ids = 3, .end_of_text = 0};
  return std::string(ValidateTokens(params, vocabulary).message());
}

TEST(SamplingParamsTest, UnknownTokenIdsAreRefused) {
  const std::pair<Spoil, std::string> cases[] = {
      {[](auto& p) {
         p.logit_bias = {{2, 1}, {3, 1}};
       },
       "logit_bias[1].id"},
      {[](auto& p) { p.banned_tokens = {-1}; }, "banned_tokens[0]"},
      {[](auto& p) {
         p.allowed_tokens = {1, 2, 3};
       },
       "allowed_tokens[2]"},
      {[](auto& p) { p.forced_tokens = {3}; }, "forced_tokens[0]"},
      {[](auto& p) { p.banned_tokens.resize(65537); }, "banned_tokens"},
      {[](auto& p) { p.allowed_tokens.resize(65537); }, "allowed_tokens"},
      {[](auto& p) { p.forced_tokens.resize(65537); }, "forced_tokens"},
  };
  for (const auto& [spoil, field] : cases) {
    EXPECT_TRUE(
        absl::StartsWith(TokensErrorOf(spoil), "sampling." + field + ": "))
        << TokensErrorOf(spoil);
  }
}

TEST(SamplingParamsTest, BanningEveryTokenIsRefused) {
  EXPECT_EQ(TokensErrorOf([](auto& p) { p.banned_tokens = {1, 2}; }), "");
  const std::string none =
      "sampling.banned_tokens: together with sampling.allowed_tokens, "
      "sampling.never_end and the ids that the tokenizer does not use, it "
      "leaves no token to sample";
  EXPECT_EQ(TokensErrorOf([](auto& p) { p.banned_tokens = {0, 1, 2}; }), none);
  EXPECT_EQ(TokensErrorOf([](auto& p) {
              p.banned_tokens = {1};
              p.allowed_tokens = {1};
            }),
            none);
  EXPECT_EQ(TokensErrorOf([](auto& p) {
              p.never_end = true;
              p.allowed_tokens = {0};
            }),
            none);
}

TEST(SamplingParamsTest, ForcedTokensThatAreExcludedAreRefused) {
  EXPECT_EQ(TokensErrorOf([](auto& p) { p.forced_tokens = {0, 2}; }), "");
  const std::string why =
      " is excluded by sampling.banned_tokens, "
      "sampling.allowed_tokens or sampling.never_end, or the tokenizer does "
      "not use it";
  EXPECT_EQ(TokensErrorOf([](auto& p) {
              p.forced_tokens = {1, 2};
              p.banned_tokens = {2};
            }),
            "sampling.forced_tokens[1]: token 2" + why);
  EXPECT_EQ(TokensErrorOf([](auto& p) {
              p.forced_tokens = {1};
              p.allowed_tokens = {2};
            }),
            "sampling.forced_tokens[0]: token 1" + why);
  EXPECT_EQ(TokensErrorOf([](auto& p) {
              p.forced_tokens = {0};
              p.never_end = true;
            }),
            "sampling.forced_tokens[0]: token 0" + why);
}

TEST(SamplingParamsTest, UnusedIdsCannotBeSampled) {
  const SamplingVocabulary vocabulary = {
      .num_ids = 3,
      .end_of_text = 0,
      .unused_ids = std::make_shared<const std::vector<int32_t>>(1, 1)};
  const auto error_of = [&](const SamplingParams& params) {
    return std::string(ValidateTokens(params, vocabulary).message());
  };
  EXPECT_EQ(error_of({.banned_tokens = {0, 1}}), "");
  EXPECT_THAT(error_of({.banned_tokens = {0, 2}}),
              HasSubstr("leaves no token to sample"));
  EXPECT_THAT(error_of({.allowed_tokens = {1}}),
              HasSubstr("leaves no token to sample"));
  EXPECT_EQ(error_of({.forced_tokens = {0, 2}}), "");
  EXPECT_THAT(error_of({.forced_tokens = {2, 1}}),
              HasSubstr("sampling.forced_tokens[1]: token 1 is excluded"));
}

}  // namespace
}  // namespace rwkvd
