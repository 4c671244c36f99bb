// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/sampling_params.h"

#include <limits>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

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
      {"sampling.penalty_decay",
       &SamplingParams::penalty_decay,
       {0, 0.996f, 1},
       {-0.1f, 1.001f, kNan, kInfinity}},
  };
}

TEST(SamplingParamsTest, DefaultsAreValid) {
  EXPECT_TRUE(Validate(SamplingParams()).ok());
}

TEST(SamplingParamsTest, TakesTheEndsOfEachRange) {
  for (const Field& field : Fields()) {
    for (const float value : field.valid) {
      SamplingParams params;
      params.*field.member = value;
      EXPECT_TRUE(Validate(params).ok()) << field.name << " " << value;
    }
  }
}

TEST(SamplingParamsTest, NamesTheFieldThatIsOutOfRange) {
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

TEST(SamplingParamsTest, TopKMayBeAnythingButNegative) {
  SamplingParams params;
  params.top_k = 0x7fffffff;
  EXPECT_TRUE(Validate(params).ok());
  params.top_k = -1;
  EXPECT_EQ(Validate(params).message(),
            "sampling.top_k: -1 is not in [0, 2147483647]");
}

}  // namespace
}  // namespace rwkvd
