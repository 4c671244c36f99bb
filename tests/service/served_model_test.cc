// SPDX-License-Identifier: Apache-2.0
#include "service/served_model.h"

#include <unistd.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "core/base/mapping_faults.h"
#include "core/checkpoint/tensor_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/pth_writer.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/recording_sink.h"
#include "tests/testing/reference.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using testing::TestTensors;

TEST(ServedModelTest, IsNamedAfterItsFileOrFolder) {
  EXPECT_EQ(NameOfPath("models/demo"), "demo");
  EXPECT_EQ(NameOfPath("models/demo/"), "demo");
  EXPECT_EQ(NameOfPath("models/demo/model.safetensors.index.json"), "demo");
  EXPECT_EQ(NameOfPath("/m/rwkv-4.1-world.safetensors"), "rwkv-4.1-world");
  EXPECT_EQ(NameOfPath("/m/RWKV-x060-World.pth"), "RWKV-x060-World");
  EXPECT_EQ(NameOfPath("m/rwkv-7.st"), "rwkv-7");
  EXPECT_EQ(NameOfPath("m/rwkv7-0.4B-Q4_K_M.gguf"), "rwkv7-0.4B-Q4_K_M");
  EXPECT_EQ(NameOfPath("m/rwkv7-00001-of-00003.gguf"), "rwkv7");
  EXPECT_EQ(NameOfPath("m/demo/pytorch_model.bin.index.json"), "demo");
  EXPECT_EQ(NameOfPath("demo"), "demo");
  EXPECT_EQ(NameOfPath("/"), "model");
}

TEST(ServedModelTest, ErrorNamesTheMissingModel) {
  Options options;
  options.model = ::testing::TempDir() + "/absent.safetensors";
  LoadProgress progress;
  const auto model = LoadServedModel(options, progress);
  ASSERT_FALSE(model.ok());
  EXPECT_THAT(std::string(model.status().message()),
              HasSubstr("absent.safetensors"));
}

// Models of all versions that have tuned states, with 256 byte tokens.
std::vector<std::pair<Architecture, TestTensors>> TunableNetworks() {
  std::vector<std::pair<Architecture, TestTensors>> networks;
  for (const auto& [minor, architecture] :
       {std::pair(0, Architecture::kRwkv50),
        std::pair(1, Architecture::kRwkv51),
        std::pair(2, Architecture::kRwkv52)}) {
    networks.push_back({architecture, testing::RandomRwkv5(
                                          {.minor = minor, .vocab = 256}, 7)});
  }
  networks.push_back(
      {Architecture::kRwkv6, testing::RandomRwkv6({.vocab = 256}, 7)});
  networks.push_back(
      {Architecture::kRwkv7, testing::RandomRwkv7({.vocab = 256}, 7)});
  return networks;
}

std::unique_ptr<ServedModel> Load(const Options& options) {
  LoadProgress progress;
  auto served = LoadServedModel(options, progress);
  EXPECT_TRUE(served.ok()) << served.status();
  return *std::move(served);
}

TEST(ServedModelTest, GgufFilesBringTheirTokenizerAndChatTemplate) {
  RWKVD_NEED_FORMAT_FIXTURES();
  const std::string folder = testing::FormatFixturesDirectory() + "/gguf/";
  Options options;
  options.model = folder + "models/v7-split";
  const auto served = Load(options);
  EXPECT_EQ(served->layout, "GGUF");
  EXPECT_EQ(served->model->config().vocab_size, 384);
  EXPECT_EQ(served->tokenizer->size(), 378);  // without "[PAD378]", ...
  EXPECT_EQ(served->tokenizer->TokenBytes(261), "\n\n");
  ASSERT_NE(served->chat_template, nullptr);
  EXPECT_EQ(served->chat_template->name, "world");

  options.chat_template = "raven";
  options.tokenizer = "bytes";
  options.allow_tokenizer_mismatch = true;
  const auto other = Load(options);
  EXPECT_EQ(other->tokenizer->kind(), "bytes");
  EXPECT_EQ(other->chat_template->name, "raven");
}

// The scores of {'c', 'd'} after {'a', 'b'}.
Recording Score(Engine& engine, int32_t initial_state) {
  ScoreRequest request;
  request.items[0].context = {'a', 'b'};
  request.items[0].continuations = {{'c', 'd'}};
  request.initial_state = initial_state;
  RecordingSink sink;
  EXPECT_TRUE(engine.Submit(request, &sink).ok());
  return sink.Wait();
}

// The same scores from the reference implementation, token by token.
std::vector<double> ScoreByReference(Architecture architecture,
                                     const TestTensors& tensors) {
  const testing::Logits logits =
      testing::Reference(architecture, tensors, {'a', 'b', 'c'});
  std::vector<double> logprobs;
  for (const auto& [row, token] : {std::pair(1, 'c'), std::pair(2, 'd')}) {
    double sum = 0;
    for (const double logit : logits[row]) sum += std::exp(logit);
    logprobs.push_back(logits[row][token] - std::log(sum));
  }
  return logprobs;
}

void ExpectLogprobs(const Recording& recording,
                    const std::vector<double>& expected) {
  ASSERT_EQ(recording.scores.size(), 1);
  ASSERT_EQ(recording.scores[0].tokens.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(recording.scores[0].tokens[i].second, expected[i], 1e-4);
  }
}

TEST(ServedModelTest, ScoresFromATunedStateEqualTheReference) {
  for (const auto& [architecture, tensors] : TunableNetworks()) {
    SCOPED_TRACE(std::string(NameOf(architecture)));
    const TestTensors tuned = testing::RandomTimeState(tensors, 8);
    Options options;
    options.model =
        testing::WriteCheckpoint(testing::MakeTempDirectory(), tensors);
    const std::string path = testing::MakeTempDirectory() + "/tuned.pth";
    testing::WriteFileOrDie(path, testing::PthBytes(tuned));
    options.initial_states = {{"tuned", path}};
    const auto served = Load(options);
    const Recording own = Score(*served->engine, 0);
    const Recording chosen = Score(*served->engine, 1);
    TestTensors with_state = tensors;
    with_state.insert(tuned.begin(), tuned.end());
    ExpectLogprobs(own, ScoreByReference(architecture, tensors));
    ExpectLogprobs(chosen, ScoreByReference(architecture, with_state));
    EXPECT_GT(
        std::abs(own.scores[0].logprob_sum - chosen.scores[0].logprob_sum),
        1e-2);
    // Bit-identical to a request whose start state is set directly.
    ThreadPool pool(1);
    Engine by_hand(
        {}, served->model.get(), served->tokenizer.get(), &pool,
        {{"", *served->model->NewTunedState(**TensorFile::Open(path))}});
    EXPECT_TRUE(chosen.HasSameAnswer(Score(by_hand, 0)));
  }
}

TEST(ServedModelTest, TunedStateInTheCheckpointIsTheModelsOwnState) {
  for (const auto& [architecture, tensors] : TunableNetworks()) {
    SCOPED_TRACE(std::string(NameOf(architecture)));
    TestTensors with_state = tensors;
    with_state.merge(testing::RandomTimeState(tensors, 8));
    Options options;
    options.model =
        testing::WriteCheckpoint(testing::MakeTempDirectory(), with_state);
    const auto served = Load(options);
    EXPECT_EQ(served->engine->initial_states()[0].name, kOwnStateName);
    ExpectLogprobs(Score(*served->engine, 0),
                   ScoreByReference(architecture, with_state));
  }
}

TEST(ServedModelTest, RequestsOfATruncatedModelEndWithInternal) {
  InstallMappingFaultHandler(FaultAction::kReplaceByZeros);
  Options options;
  options.model = testing::WriteCheckpoint(
      testing::MakeTempDirectory(), testing::RandomRwkv7({.vocab = 256}, 1));
  const auto served = Load(options);
  EXPECT_TRUE(Score(*served->engine, 0).status.ok());
  EXPECT_TRUE(served->CheckFiles().ok());
  ASSERT_EQ(truncate(options.model.c_str(), 0), 0);
  EXPECT_EQ(Score(*served->engine, 0).status.code(),
            absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(served->CheckFiles().message()),
              HasSubstr(options.model));
}

TEST(ServedModelTest, ModelThatChangesAfterLoadingIsDamaged) {
  Options options;
  options.model = testing::WriteCheckpoint(
      testing::MakeTempDirectory(), testing::RandomRwkv7({.vocab = 256}, 1));
  const auto served = Load(options);
  const std::string bytes = testing::ReadFileOrDie(options.model);
  testing::WriteFileOrDie(options.model, bytes + "x");
  EXPECT_EQ(served->CheckFiles().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Score(*served->engine, 0).status.code(),
            absl::StatusCode::kInternal);
}

TEST(ServedModelTest, PreloadReadsTheWholeFiles) {
  Options options;
  options.model = testing::WriteCheckpoint(
      testing::MakeTempDirectory(), testing::RandomRwkv4({.vocab = 256}, 1));
  for (const bool preload : {false, true}) {
    options.preload = preload;
    LoadProgress progress;
    ASSERT_TRUE(LoadServedModel(options, progress).ok());
    EXPECT_EQ(progress.ratio(), preload ? 1 : 0);
  }
}

}  // namespace
}  // namespace rwkvd
