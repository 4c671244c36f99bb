// SPDX-License-Identifier: Apache-2.0
// Random checkpoints must have tensors that all change the logits.

#include "tests/testing/random_checkpoint.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/testing/reference.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd::testing {
namespace {

const std::vector<int32_t>& Tokens() {
  static const auto* const tokens = new std::vector<int32_t>{
      5, 17, 3, 60, 17, 42, 9, 31, 8, 17, 1, 25, 33, 50, 2, 13};
  return *tokens;
}

double LargestDifference(const Logits& a, const Logits& b) {
  double largest = 0;
  for (size_t t = 0; t < a.size(); ++t) {
    for (size_t i = 0; i < a[t].size(); ++i) {
      largest = std::max(largest, std::abs(a[t][i] - b[t][i]));
    }
  }
  return largest;
}

// Whether it is v0, v1 or v2 of version 7's first layer, which the model
// ignores.
bool IsIgnored(const std::string& name) {
  return absl::StartsWith(name, "blocks.0.att.v") &&
         name.size() == std::string("blocks.0.att.v0").size();
}

class RandomCheckpointTest : public ::testing::TestWithParam<Architecture> {
 protected:
  // The largest change of a logit if the tensor `name` is set to zeros.
  double EffectOf(const std::string& name) {
    TestTensors without = tensors_;
    std::fill(without[name].values.begin(), without[name].values.end(), 0.0f);
    return LargestDifference(Reference(GetParam(), without, Tokens()), logits_);
  }

  const TestTensors tensors_ = RandomCheckpoint(GetParam(), 1);
  const Logits logits_ = Reference(GetParam(), tensors_, Tokens());
};

TEST_P(RandomCheckpointTest, EveryTensorChangesTheLogits) {
  for (const auto& [name, tensor] : tensors_) {
    if (IsIgnored(name)) {
      EXPECT_EQ(EffectOf(name), 0) << name;
    } else {
      EXPECT_GT(EffectOf(name), 0.05) << name;
    }
  }
}

TEST_P(RandomCheckpointTest, LogitsHaveTheMagnitudeOfATrainedModel) {
  for (const auto& row : logits_) {
    const auto [least, largest] = std::minmax_element(row.begin(), row.end());
    EXPECT_GT(*largest - *least, 2);
    EXPECT_LT(*largest - *least, 30);
  }
}

TEST_P(RandomCheckpointTest, SeedsGiveDifferentModels) {
  EXPECT_TRUE(RandomCheckpoint(GetParam(), 1) == tensors_);
  EXPECT_FALSE(RandomCheckpoint(GetParam(), 2) == tensors_);
}

TEST_P(RandomCheckpointTest, ValuesAreOfTheRequestedType) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const TestTensors tensors = RandomCheckpoint(GetParam(), 1, dtype);
    EXPECT_TRUE(Rounded(tensors_, dtype) == tensors);
  }
}

std::string Name(const ::testing::TestParamInfo<Architecture>& info) {
  std::string name(NameOf(info.param));
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(
    Versions, RandomCheckpointTest,
    ::testing::Values(Architecture::kRwkv4, Architecture::kRwkv50,
                      Architecture::kRwkv51, Architecture::kRwkv52,
                      Architecture::kRwkv6, Architecture::kRwkv7),
    Name);

TEST(RandomCheckpointSizesTest, SupportsOneHead) {
  const auto logits = [](Architecture architecture,
                         const TestTensors& tensors) {
    return Reference(architecture, tensors, Tokens()).back().size();
  };
  EXPECT_EQ(logits(Architecture::kRwkv51,
                   RandomRwkv5({.minor = 1, .heads = 1, .head_size = 16}, 1)),
            64u);
  EXPECT_EQ(logits(Architecture::kRwkv6, RandomRwkv6({.heads = 1}, 1)), 64u);
  EXPECT_EQ(logits(Architecture::kRwkv7,
                   RandomRwkv7({.heads = 1, .first_layer_has_v = false}, 1)),
            64u);
}

TEST(RandomCheckpointSizesTest, TensorsMayHaveDifferentTypes) {
  const TestTensors tensors = RandomRwkv6({}, 1, [](const std::string& name) {
    return absl::StrContains(name, "time_") ? DType::kF32 : DType::kBF16;
  });
  EXPECT_EQ(tensors.at("blocks.1.att.time_decay").dtype, DType::kF32);
  EXPECT_EQ(tensors.at("blocks.1.att.key.weight").dtype, DType::kBF16);
}

TEST(RandomTimeStateTest, HasTheSizesOfItsCheckpoint) {
  for (const Architecture architecture :
       {Architecture::kRwkv50, Architecture::kRwkv6, Architecture::kRwkv7}) {
    const TestTensors tensors = RandomCheckpoint(architecture, 1);
    const TestTensors state = RandomTimeState(tensors, 2);
    TestTensors together = tensors;
    together.insert(state.begin(), state.end());
    for (const auto& [name, unused] : state) {
      TestTensors without = together;
      without.erase(name);
      EXPECT_GT(LargestDifference(Reference(architecture, together, Tokens()),
                                  Reference(architecture, without, Tokens())),
                0.05)
          << name;
    }
  }
}

}  // namespace
}  // namespace rwkvd::testing
