// SPDX-License-Identifier: Apache-2.0
// Compares models of every version and format with the logits of BlinkDL's
// code. The fixtures state the tolerances: per logit, the larger of 2e-5 and
// ten times the difference of that code between single and double precision.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/tensor_file.h"
#include "core/kernels/ggml/layout.h"
#include "core/kernels/targets/supported_kernels.h"
#include "core/model/config.h"
#include "core/model/load_model.h"
#include "core/model/model_options.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/fixtures.h"
#include "tests/testing/reference.h"
#include "tests/testing/test_tensor.h"

namespace rwkvd {
namespace {

using nlohmann::json;

namespace fs = std::filesystem;

struct Golden {
  std::string checkpoint;  // a path
  std::string reference;   // a path without .json
};

// The path of a checkpoint or a reference, below its directory of fixtures.
std::string ShortPath(const std::string& path) {
  for (const std::string& root :
       {testing::FixturesDirectory(), testing::FormatFixturesDirectory()}) {
    if (!root.empty() && absl::StartsWith(path, root)) {
      return path.substr(root.size());
    }
  }
  return path;
}

std::ostream& operator<<(std::ostream& out, const Golden& golden) {
  return out << ShortPath(golden.checkpoint) << " against "
             << ShortPath(golden.reference);
}

bool IsWeights(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".safetensors" || extension == ".st" ||
         extension == ".pth";
}

// The checkpoints in the folder of a model: files of weights, and subfolders as
// downloaded from a hub.
std::vector<std::string> CheckpointsIn(const fs::path& folder) {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory() || IsWeights(entry.path())) {
      found.push_back(entry.path().string());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

// The type of all tensors, for example "F32"; "mixed" if they differ.
std::string TypeOf(const TensorFile& file) {
  std::string type;
  for (const auto& [name, tensor] : file.tensors()) {
    const std::string own(NameOf(tensor.dtype));
    if (!type.empty() && type != own) return "mixed";
    type = own;
  }
  return type;
}

// The reference of a prompt that was made from the same weights, if there is
// one. References of rounded weights are called "PROMPT.TYPE-weights"; the
// plain name then belongs to the unrounded weights. If there are none with a
// type, no type needed rounding.
std::optional<std::string> ReferenceFor(const fs::path& refs,
                                        const std::string& prompt,
                                        const std::string& weight_type) {
  bool some_were_rounded = false;
  for (const auto& entry : fs::directory_iterator(refs)) {
    some_were_rounded =
        some_were_rounded ||
        absl::StrContains(entry.path().filename().string(), "-weights.json");
  }
  if (weight_type == "F32" || !some_were_rounded) return prompt;
  const std::string rounded =
      absl::StrCat(prompt, ".", absl::AsciiStrToLower(weight_type), "-weights");
  if (!fs::exists(refs / (rounded + ".json"))) return std::nullopt;
  return rounded;
}

// The prompts of a model that have full references, "p1-short", ...
std::vector<std::string> PromptsIn(const fs::path& refs) {
  std::vector<std::string> prompts;
  for (const auto& entry : fs::directory_iterator(refs)) {
    const std::string name = entry.path().stem().string();
    if (entry.path().extension() == ".json" && !absl::StrContains(name, ".") &&
        name != "p0-rwkvcpp") {
      prompts.push_back(name);
    }
  }
  return prompts;
}

// Every checkpoint below models/. A checkpoint that cannot be read fails in its
// test, not here.
std::vector<std::string> FindCheckpoints() {
  std::vector<std::string> found;
  const fs::path root = testing::FixturesDirectory();
  if (root.empty()) return found;
  for (const auto& model : fs::directory_iterator(root / "models")) {
    // Without references there is nothing to compare.
    if (!fs::exists(root / "refs" / model.path().filename())) continue;
    for (const std::string& checkpoint : CheckpointsIn(model.path())) {
      found.push_back(checkpoint);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

// The directory of the references of a checkpoint below models/.
fs::path RefsOf(const std::string& checkpoint) {
  const fs::path root = testing::FixturesDirectory();
  const fs::path below = fs::relative(checkpoint, root / "models");
  return root / "refs" / *below.begin();
}

// The references that were made from the weights of `checkpoint`.
std::vector<Golden> GoldenFor(const std::string& checkpoint) {
  const fs::path refs = RefsOf(checkpoint);
  const auto file = TensorFile::Open(checkpoint);
  const std::string type = file.ok() ? TypeOf(**file) : "F32";
  std::vector<Golden> golden;
  for (const std::string& prompt : PromptsIn(refs)) {
    const auto reference = ReferenceFor(refs, prompt, type);
    if (!reference.has_value()) continue;
    golden.push_back({checkpoint, (refs / *reference).string()});
  }
  return golden;
}

// The official release of version 7: one model, a reference for each prompt.
std::vector<Golden> FindGoldenReleases(const fs::path& root) {
  std::vector<Golden> golden;
  for (const std::string& prompt : PromptsIn(root / "refs")) {
    golden.push_back({root / "model", root / "refs" / prompt});
  }
  return golden;
}

// The spellings of one model: variants.json names the references of each.
std::vector<Golden> FindGoldenSpellings(const fs::path& root) {
  const json variants =
      json::parse(testing::ReadFileOrDie(root / "variants.json"));
  std::vector<Golden> golden;
  for (const auto& [checkpoint, reference] : variants["files"].items()) {
    const fs::path path = variants[reference.get<std::string>()];
    golden.push_back(
        {root / checkpoint, root / path.parent_path() / path.stem()});
  }
  return golden;
}

// The GGUF files, each with its reference.
std::vector<Golden> FindGoldenGguf(const fs::path& root) {
  std::vector<Golden> golden;
  for (const auto& model : fs::directory_iterator(root / "models")) {
    const std::string name =
        absl::StrReplaceAll(model.path().filename().string(),
                            {{".gguf", ""}, {"-split", ".split"}});
    golden.push_back({model.path(), root / "refs" / name});
  }
  std::sort(golden.begin(), golden.end(), [](const Golden& a, const Golden& b) {
    return a.checkpoint < b.checkpoint;
  });
  return golden;
}

std::vector<Golden> FindGolden() {
  std::vector<Golden> golden;
  const auto add = [&golden](const std::vector<Golden>& more) {
    golden.insert(golden.end(), more.begin(), more.end());
  };
  for (const std::string& checkpoint : FindCheckpoints()) {
    add(GoldenFor(checkpoint));
  }
  const fs::path formats = testing::FormatFixturesDirectory();
  if (!formats.empty()) {
    add(FindGoldenReleases(formats / "hf7-release"));
    add(FindGoldenSpellings(formats / "hf7-spellings"));
    add(FindGoldenGguf(formats / "gguf"));
  }
  return golden;
}

// Runs one sequence through one model.
class Sequence {
 public:
  explicit Sequence(const std::string& checkpoint,
                    const ModelOptions& options = {}) {
    auto file = TensorFile::Open(checkpoint);
    EXPECT_TRUE(file.ok()) << file.status();
    if (!file.ok()) return;
    file_ = *file;
    auto model = LoadModel(*file, options);
    EXPECT_TRUE(model.ok()) << model.status();
    if (!model.ok()) return;
    model_ = *std::move(model);
    workspace_.emplace(model_->NewWorkspace(512, &pool_));
    state_ = model_->NewState();
  }

  bool ok() const { return model_ != nullptr; }
  Architecture architecture() const { return model_->config().architecture; }
  int64_t vocab() const { return model_->config().vocab_size; }
  const State& state() const { return state_; }
  // Whether a matrix has quants of fewer than 5 bits.
  bool HasSmallQuants() const {
    return std::any_of(file_->tensors().begin(), file_->tensors().end(),
                       [](const auto& tensor) {
                         const int bits =
                             GgmlLayoutOf(tensor.second.dtype).bits;
                         return bits > 0 && bits < 5;
                       });
  }

  // The weights as they were loaded.
  testing::TestTensors Tensors() const {
    testing::TestTensors tensors;
    for (const auto& [name, tensor] : file_->tensors()) {
      tensors.emplace(name, testing::CopyOf(tensor));
    }
    return tensors;
  }

  // Returns the wanted logits, [n, vocab].
  std::vector<float> Read(const std::vector<int32_t>& tokens,
                          LogitsWanted wanted) {
    const int64_t rows = wanted == LogitsWanted::kAll ? tokens.size() : 1;
    std::vector<float> logits(rows * vocab());
    model_->Forward({{.tokens = tokens,
                      .state = &state_,
                      .wanted = wanted,
                      .logits = absl::MakeSpan(logits)}},
                    *workspace_);
    return logits;
  }

 private:
  ThreadPool pool_{2};
  std::shared_ptr<const TensorFile> file_;
  std::unique_ptr<const Model> model_;
  std::optional<Workspace> workspace_;
  State state_;
};

double MaxDifference(absl::Span<const float> a, absl::Span<const float> b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(double{a[i]} - double{b[i]});
    if (!(difference <= largest)) largest = difference;  // keeps NaN
  }
  return largest;
}

int32_t Greedy(absl::Span<const float> logits) {
  return std::max_element(logits.begin(), logits.end()) - logits.begin();
}

double LogProbability(absl::Span<const float> logits, int32_t id) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - largest);
  return logits[id] - largest - std::log(sum);
}

// The mean KL divergence of the distributions that `logits` stand for from
// those of `exact`, both [n, vocab].
double MeanKl(absl::Span<const float> exact, absl::Span<const float> logits,
              int64_t vocab) {
  double sum = 0;
  for (size_t at = 0; at < exact.size(); at += vocab) {
    const auto p = exact.subspan(at, vocab), q = logits.subspan(at, vocab);
    const double p_shift = LogProbability(p, 0) - p[0];
    const double q_shift = LogProbability(q, 0) - q[0];
    for (int64_t i = 0; i < vocab; ++i) {
      const double log_p = p[i] + p_shift;
      sum += std::exp(log_p) * (log_p - (q[i] + q_shift));
    }
  }
  return sum / (static_cast<double>(exact.size()) / vocab);
}

class GoldenTest
    : public ::testing::TestWithParam<std::tuple<Golden, const KernelTable*>> {
 protected:
  void SetUp() override {
    refs_ = golden().reference;
    reference_ = json::parse(testing::ReadFileOrDie(refs_ + ".json"));
    ids_ = reference_["ids"].get<std::vector<int32_t>>();
    tolerance_ = std::max(
        2e-5, 10 * reference_["max_abs_logit_diff_fp32_vs_fp64"].get<double>());
    // The references round no activations.
    sequence_.emplace(golden().checkpoint,
                      ModelOptions{.kernels = std::get<1>(GetParam()),
                                   .activations = ActivationKind::kF32});
    ASSERT_TRUE(sequence_->ok());
  }

  const Golden& golden() const { return std::get<0>(GetParam()); }
  bool HasFile(const char* key) const { return reference_.contains(key); }

  std::string refs_;
  json reference_;
  std::vector<int32_t> ids_;
  double tolerance_ = 0;
  std::optional<Sequence> sequence_;
};

TEST_P(GoldenTest, LastLogitsAgree) {
  const std::string path = refs_ + ".last-logits.f32";
  if (!fs::exists(path)) return;  // this reference has none
  const auto expected = testing::ReadFloatsOrDie(path);
  const auto logits = sequence_->Read(ids_, LogitsWanted::kLast);
  EXPECT_LE(MaxDifference(logits, expected), tolerance_);
  EXPECT_EQ(Greedy(logits), Greedy(expected));
}

TEST_P(GoldenTest, LogProbabilitiesOfThePromptAgree) {
  const auto logits = sequence_->Read(ids_, LogitsWanted::kAll);
  const auto& expected = reference_["logprob_next_fp64"];
  double sum = 0;
  for (size_t i = 0; i + 1 < ids_.size(); ++i) {
    const double logprob =
        LogProbability(absl::MakeConstSpan(logits).subspan(
                           i * sequence_->vocab(), sequence_->vocab()),
                       ids_[i + 1]);
    EXPECT_NEAR(logprob, expected[i].get<double>(), 5e-5) << "token " << i + 1;
    sum += logprob;
  }
  EXPECT_NEAR(sum, reference_["logprob_sum_fp64"].get<double>(),
              5e-5 * ids_.size());
}

TEST_P(GoldenTest, TopFiveAgreeAtEveryPosition) {
  const auto logits = sequence_->Read(ids_, LogitsWanted::kAll);
  for (size_t i = 0; i < ids_.size(); ++i) {
    for (const auto& top : reference_["top5_fp32"][i]) {
      EXPECT_NEAR(logits[i * sequence_->vocab() + top[0].get<int64_t>()],
                  top[1].get<double>(), tolerance_)
          << "position " << i;
    }
  }
}

TEST_P(GoldenTest, GreedyContinuationAgrees) {
  auto logits = sequence_->Read(ids_, LogitsWanted::kLast);
  const auto expected = reference_["greedy64_fp64"].get<std::vector<int32_t>>();
  for (size_t i = 0; i < expected.size(); ++i) {
    // The fixtures have no step with a smaller margin.
    ASSERT_GT(reference_["greedy_margin_fp64"][i].get<double>(),
              2 * tolerance_);
    ASSERT_EQ(Greedy(logits), expected[i]) << "step " << i;
    logits = sequence_->Read({expected[i]}, LogitsWanted::kLast);
  }
}

TEST_P(GoldenTest, AllLogitsAgree) {
  if (!HasFile("all_logits_file")) return;  // this reference has none
  const auto expected = testing::ReadFloatsOrDie(refs_ + ".all-logits.f32");
  EXPECT_LE(MaxDifference(sequence_->Read(ids_, LogitsWanted::kAll), expected),
            tolerance_);
}

// The largest mean KL that rounding activations may cost; docs/numerics.md has
// measured ones.
double LargestKl(ActivationKind activations, const Sequence& sequence) {
  if (activations == ActivationKind::kInt8) return 3e-3;
  return sequence.HasSmallQuants() ? 1e-3 : 1e-4;
}

// Compares a GGUF file that is served in its own size with one whose matrices
// are widened, on one instruction set: only activations are rounded, and the
// same way in any chunk.
void ExpectRoundingChangesLittle(const Golden& golden,
                                 const KernelTable* kernels,
                                 ActivationKind activations) {
  SCOPED_TRACE(absl::StrCat(ShortPath(golden.checkpoint), " ", kernels->name,
                            " ", NameOf(activations)));
  const json reference =
      json::parse(testing::ReadFileOrDie(golden.reference + ".json"));
  const auto ids = reference["ids"].get<std::vector<int32_t>>();
  Sequence exact(golden.checkpoint,
                 {.kernels = kernels, .activations = ActivationKind::kF32});
  const ModelOptions options = {.kernels = kernels, .activations = activations};
  Sequence rounded(golden.checkpoint, options);
  ASSERT_TRUE(exact.ok() && rounded.ok());
  const auto logits = rounded.Read(ids, LogitsWanted::kAll);
  const double kl =
      MeanKl(exact.Read(ids, LogitsWanted::kAll), logits, rounded.vocab());
  EXPECT_LE(kl, LargestKl(activations, rounded));
  ::testing::Test::RecordProperty(
      absl::StrCat(ShortPath(golden.checkpoint), " ", kernels->name, " ",
                   NameOf(activations)),
      absl::StrCat(kl));

  Sequence alone(golden.checkpoint, options);
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto one = alone.Read({ids[i]}, LogitsWanted::kLast);
    ASSERT_EQ(0, std::memcmp(one.data(), &logits[i * one.size()],
                             one.size() * sizeof(float)))
        << "token " << i;
  }
}

TEST(GoldenGgufTest, RoundingActivationsChangesLittle) {
  RWKVD_NEED_FORMAT_FIXTURES();
  const fs::path formats = testing::FormatFixturesDirectory();
  for (const Golden& golden : FindGoldenGguf(formats / "gguf")) {
    for (const KernelTable* kernels : SupportedKernels()) {
      for (const ActivationKind activations :
           {ActivationKind::kAuto, ActivationKind::kInt8}) {
        ExpectRoundingChangesLittle(golden, kernels, activations);
      }
    }
  }
}

std::vector<std::tuple<Golden, const KernelTable*>> Cases() {
  std::vector<std::tuple<Golden, const KernelTable*>> cases;
  for (const Golden& golden : FindGolden()) {
    for (const KernelTable* kernels : SupportedKernels()) {
      cases.emplace_back(golden, kernels);
    }
  }
  return cases;
}

std::string Name(
    const ::testing::TestParamInfo<std::tuple<Golden, const KernelTable*>>&
        info) {
  const auto& [golden, kernels] = info.param;
  std::string name =
      absl::StrCat(ShortPath(golden.checkpoint), "_",
                   ShortPath(golden.reference), "_", kernels->name);
  for (char& c : name) {
    if (!absl::ascii_isalnum(c)) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, GoldenTest, ::testing::ValuesIn(Cases()),
                         Name);

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenTest);

TEST(GoldenFixturesTest, ThereAreCheckpointsOfEveryKind) {
  RWKVD_NEED_FIXTURES();
  const std::string all = absl::StrJoin(FindCheckpoints(), "\n");
  for (const char* kind :
       {"4v0", "5v1", "6v0", "7v0", "f32.safetensors", "bf16.safetensors",
        "f16.safetensors", "sharded", "/hf", "/fla", "/webrwkv", "f32.pth",
        "legacy.pth", "tricky.pth", "mixed"}) {
    EXPECT_TRUE(absl::StrContains(all, kind)) << kind;
  }
}

TEST(GoldenFixturesTest, ThereAreFurtherFormatsOfEveryKind) {
  RWKVD_NEED_FORMAT_FIXTURES();
  std::vector<std::string> names;
  for (const Golden& golden : FindGolden()) {
    names.push_back(ShortPath(golden.checkpoint));
  }
  const std::string all = absl::StrJoin(names, "\n");
  for (const char* kind :
       {"hf7-release/model", "native", "rwkv7-prefix", "model-prefix",
        "orig-mod.pth", "module.pth", "forward-module.pth", "wrapped-model.pth",
        "pr-attention", "pr-embeddings", "pr-embeddings-fused",
        "pr-deep-embedding", "rwkvrs-standard"}) {
    EXPECT_TRUE(absl::StrContains(all, kind)) << kind;
  }
}

// There are no references for checkpoints with tensors of several types. The
// oracle, which agrees with all references, replaces them.
TEST(GoldenFixturesTest, CheckpointsWithoutAReferenceFollowTheOracle) {
  RWKVD_NEED_FIXTURES();
  const std::vector<int32_t> text = {'I', 't', ' ', 'w', 'a', 's', ' ', 'a'};
  int num = 0;
  for (const std::string& checkpoint : FindCheckpoints()) {
    if (!GoldenFor(checkpoint).empty()) continue;
    ++num;
    Sequence sequence(checkpoint);
    ASSERT_TRUE(sequence.ok()) << checkpoint;
    const std::vector<double> expected =
        testing::Reference(sequence.architecture(), sequence.Tensors(), text)
            .back();
    const std::vector<float> logits = sequence.Read(text, LogitsWanted::kLast);
    const std::vector<float> rounded(expected.begin(), expected.end());
    EXPECT_LE(MaxDifference(logits, rounded), 4e-5) << checkpoint;
  }
  EXPECT_GT(num, 0);
}

std::string ModelPath(const std::string& below_models) {
  return absl::StrCat(testing::FixturesDirectory(), "/models/", below_models);
}

// The logits that rwkv.cpp expects of its test models. rwkv.cpp normalizes the
// heads of version 5 with another epsilon.
TEST(GoldenRwkvCppTest, LogitsAgree) {
  RWKVD_NEED_FIXTURES();
  const std::tuple<const char*, const char*, float> models[] = {
      {"tiny-4v0-660k", "model.safetensors", kGroupNormEpsilon},
      {"tiny-5v1-730k", "model-f32.safetensors", 1e-5f},
      {"tiny-6v0-1m", "model-bf16.safetensors", kGroupNormEpsilon},
      {"tiny-7v0-834k", "model-bf16.safetensors", kGroupNormEpsilon}};
  for (const auto& [name, file, epsilon] : models) {
    Sequence sequence(ModelPath(absl::StrCat(name, "/", file)),
                      {.group_norm_epsilon = epsilon});
    ASSERT_TRUE(sequence.ok());
    const auto expected = testing::ReadFloatsOrDie(
        absl::StrCat(testing::FixturesDirectory(), "/refs/", name,
                     "/p0-rwkvcpp.expected-logits.f32"));
    const auto logits = sequence.Read({'"', 'i', 'n'}, LogitsWanted::kLast);
    EXPECT_LE(MaxDifference(logits, expected), 2e-5) << name;
  }
}

// Compares the state after a prompt, value by value. Our layout is that of
// BlinkDL's RWKV_in_150_lines.py.
TEST(GoldenStateTest, StateAgrees) {
  RWKVD_NEED_FIXTURES();
  for (const char* model : {"tiny-4v0-660k/model", "hybrid-4v0/model-f32"}) {
    Sequence sequence(ModelPath(absl::StrCat(model, ".safetensors")));
    const std::string refs =
        absl::StrCat(testing::FixturesDirectory(), "/refs/",
                     std::string(model).substr(0, std::string(model).find('/')),
                     "/p1-short");
    const auto ids = json::parse(testing::ReadFileOrDie(refs + ".json"))["ids"]
                         .get<std::vector<int32_t>>();
    sequence.Read(ids, LogitsWanted::kLast);
    const auto expected = testing::ReadFloatsOrDie(refs + ".state.f32");
    ASSERT_EQ(sequence.state().values().size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(sequence.state().values()[i], expected[i],
                  2e-5 * std::max(1.0f, std::abs(expected[i])))
          << model << " value " << i;
    }
  }
}

}  // namespace
}  // namespace rwkvd
