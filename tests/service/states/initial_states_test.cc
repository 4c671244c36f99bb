// SPDX-License-Identifier: Apache-2.0
#include "service/states/initial_states.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/model/state_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kFingerprint(64, 'f');

class InitialStatesTest : public ::testing::Test {
 protected:
  // A state file of the model, or of a model with other weights.
  std::string StateFile(const State& state,
                        const std::string& fingerprint = kFingerprint) {
    const std::string path = testing::MakeTempDirectory() + "/it";
    const ModelIdentity identity = {"rwkv4", fingerprint, 4};
    const auto bytes = SerializeState(state, identity);
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    testing::WriteFileOrDie(path, *bytes);
    return path;
  }

  absl::StatusOr<std::vector<NamedState>> Load() {
    return LoadInitialStates(options_, model_, kFingerprint);
  }

  InitialStateOptions options_;
  FakeModel model_{10};
};

TEST_F(InitialStatesTest, ModelsOwnStateIsTheOnlyOneByDefault) {
  const auto states = Load();
  ASSERT_TRUE(states.ok()) << states.status();
  ASSERT_EQ(states->size(), 1);
  EXPECT_EQ((*states)[0].name, "model");
  EXPECT_EQ((*states)[0].state, model_.NewState());
}

TEST_F(InitialStatesTest, LoadsStateFilesAndTunedCheckpointsByContent) {
  const std::string tuned = testing::WriteCheckpoint(
      testing::MakeTempDirectory(),
      {{"blocks.0.att.time_state", {{1}, DType::kF32, {1}}}});
  const State saved = model_.StateAfter({1, 2});
  options_.initial_states = {{"tuned", tuned}, {"saved", StateFile(saved)}};
  const auto states = Load();
  ASSERT_TRUE(states.ok()) << states.status();
  ASSERT_EQ(states->size(), 3);
  EXPECT_EQ((*states)[0].name, "model");
  EXPECT_EQ((*states)[1].name, "tuned");
  EXPECT_EQ((*states)[1].state,
            *model_.NewTunedState(**TensorFile::Open(tuned)));
  EXPECT_EQ((*states)[2].name, "saved");
  EXPECT_EQ((*states)[2].state, saved);
}

TEST_F(InitialStatesTest, DefaultIsTheFirst) {
  options_.initial_states = {{"a", StateFile(model_.StateAfter({1}))},
                             {"b", StateFile(model_.StateAfter({2}))},
                             {"c", StateFile(model_.StateAfter({3}))}};
  options_.default_initial_state = "b";
  const auto states = Load();
  ASSERT_TRUE(states.ok()) << states.status();
  ASSERT_EQ(states->size(), 4);
  EXPECT_EQ((*states)[0].name, "b");
  EXPECT_EQ((*states)[0].state, model_.StateAfter({2}));
  EXPECT_EQ((*states)[1].name, "model");
  EXPECT_EQ((*states)[1].state, model_.NewState());
  EXPECT_EQ((*states)[2].name, "a");
  EXPECT_EQ((*states)[3].name, "c");
}

TEST_F(InitialStatesTest, ErrorsNameTheStateAndTheFile) {
  const std::string other =
      StateFile(model_.StateAfter({1}), std::string(64, '0'));
  const std::string text = testing::MakeTempDirectory() + "/text";
  testing::WriteFileOrDie(text, "This is no state at all.");
  const std::pair<std::string, std::string> cases[] = {
      {"/no/such/file", "/no/such/file"},
      {other, "another model"},
      {text, text},
      {testing::MakeTempDirectory(), "expected a regular file"},
  };
  for (const auto& [path, expected] : cases) {
    options_.initial_states = {{"bad", path}};
    const auto states = Load();
    ASSERT_FALSE(states.ok());
    const std::string error(states.status().message());
    EXPECT_THAT(error, HasSubstr("--initial_state=bad: "));
    EXPECT_THAT(error, HasSubstr(path));
    EXPECT_THAT(error, HasSubstr(expected));
  }
}

TEST(FindInitialStateTest, FindsByNameAndTheDefaultForNone) {
  const std::vector<NamedState> states = {{"b", {}}, {"model", {}}, {"a", {}}};
  EXPECT_EQ(*FindInitialState(states, ""), 0);
  EXPECT_EQ(*FindInitialState(states, "b"), 0);
  EXPECT_EQ(*FindInitialState(states, "model"), 1);
  EXPECT_EQ(*FindInitialState(states, "a"), 2);
}

TEST(FindInitialStateTest, ErrorForAnUnknownNameListsTheKnownOnes) {
  const std::vector<NamedState> states = {{"model", {}}, {"a", {}}, {"b", {}}};
  const absl::Status status = FindInitialState(states, "c\n").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "initial_state: there is no \"c\\n\"; this server has model, a, b");
}

TEST(FindInitialStateTest, LongListsAndLongNamesAreShortened) {
  std::vector<NamedState> states;
  for (int i = 0; i < 300; ++i) states.push_back({absl::StrCat("s", i), {}});
  const std::string error(
      FindInitialState(states, std::string(100000, 'x')).status().message());
  EXPECT_LT(error.size(), 300);
  EXPECT_THAT(error, HasSubstr("s0, s1, s2"));
  EXPECT_THAT(error, HasSubstr("s19 and 280 more"));
  EXPECT_THAT(error, Not(HasSubstr("s20")));
}

}  // namespace
}  // namespace rwkvd
