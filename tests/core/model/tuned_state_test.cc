// SPDX-License-Identifier: Apache-2.0
// Tests which files Model::NewTunedState refuses. tests/laws test its results.

#include <cmath>
#include <string>

#include "core/model/load_model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using testing::TestTensors;

constexpr char kSecond[] = "blocks.1.att.time_state";

class TunedStateTest : public ::testing::Test {
 protected:
  TunedStateTest()
      : checkpoint_(testing::RandomCheckpoint(Architecture::kRwkv6, 1)),
        tuned_(testing::RandomTimeState(checkpoint_, 2)) {}

  // Both for a file of tuned states alone and for a checkpoint that has them.
  void ExpectRefused(const std::string& why) {
    const auto model = LoadModel(testing::MakeTensorFile(checkpoint_));
    ASSERT_TRUE(model.ok()) << model.status();
    const auto state =
        (*model)->NewTunedState(*testing::MakeTensorFile(tuned_));
    EXPECT_EQ(state.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(state.status().message()), HasSubstr(why));
  }

  TestTensors checkpoint_, tuned_;
};

TEST_F(TunedStateTest, RefusesAMissingLayer) {
  tuned_.erase(kSecond);
  ExpectRefused("blocks.1.att.time_state\": expected [4, 24, 24]");
}

TEST_F(TunedStateTest, RefusesOtherHeads) {
  tuned_[kSecond].shape = {2, 48, 24};
  ExpectRefused("got [2, 48, 24]");
}

TEST_F(TunedStateTest, RefusesTheStateOfADeeperModel) {
  tuned_["blocks.2.att.time_state"] = tuned_[kSecond];
  ExpectRefused("expected 2 layers");
}

TEST_F(TunedStateTest, RefusesNonFiniteValues) {
  tuned_[kSecond].values[5] = std::nanf("");
  ExpectRefused("expected finite numbers");
}

TEST_F(TunedStateTest, CheckpointNeedsTheStateOfAllLayersOrNone) {
  checkpoint_[kSecond] = tuned_[kSecond];
  const auto model = LoadModel(testing::MakeTensorFile(checkpoint_));
  EXPECT_EQ(model.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(model.status().message()),
              HasSubstr("blocks.0.att.time_state"));
}

TEST_F(TunedStateTest, Version4HasNoTunedState) {
  const auto model =
      LoadModel(testing::MakeTensorFile(testing::RandomRwkv4({}, 1)));
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(
      (*model)->NewTunedState(*testing::MakeTensorFile(tuned_)).status().code(),
      absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace rwkvd
