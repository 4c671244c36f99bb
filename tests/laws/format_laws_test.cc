// SPDX-License-Identifier: Apache-2.0
// Law 7 of tests/README.md: results are bit-identical whatever format a
// checkpoint has, and if a state is saved and restored.

#include <cstddef>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/thread_pool.h"
#include "core/model/load_model.h"
#include "core/model/state_file.h"
#include "gtest/gtest.h"
#include "tests/laws/model_shapes.h"
#include "tests/testing/checkpoint_formats.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using testing::FileFormat;
using testing::TestTensors;
using Tokens = std::vector<int32_t>;

const Tokens kText = {1, 52, 7, 7, 31, 0, 12, 40, 3, 19, 25, 2, 48};

// A model that was loaded from one file.
class Loaded {
 public:
  explicit Loaded(const std::string& path) {
    auto file = TensorFile::Open(path);
    EXPECT_TRUE(file.ok()) << file.status();
    if (!file.ok()) return;
    file_ = *std::move(file);
    auto model = LoadModel(file_);
    EXPECT_TRUE(model.ok()) << model.status();
    if (model.ok()) model_ = *std::move(model);
  }

  bool ok() const { return model_ != nullptr; }
  const Model& model() const { return *model_; }
  const TensorFile& file() const { return *file_; }
  ModelIdentity AsIdentity() const {
    return {std::string(NameOf(model_->config().architecture)),
            file_->Fingerprint(),
            static_cast<int64_t>(model_->NewState().values().size())};
  }

  std::vector<float> Forward(absl::Span<const int32_t> tokens, State* state) {
    std::vector<float> logits(tokens.size() * kOddVocab);
    Workspace workspace = model_->NewWorkspace(tokens.size(), &pool_);
    model_->Forward({{.tokens = tokens,
                      .state = state,
                      .wanted = LogitsWanted::kAll,
                      .logits = absl::MakeSpan(logits)}},
                    workspace);
    return logits;
  }

 private:
  ThreadPool pool_{2};
  std::shared_ptr<const TensorFile> file_;
  std::unique_ptr<const Model> model_;
};

// Whether a model of this version and type can be stored in the format without
// change. Files of web-rwkv hold only F16, and not version 5.1.
bool Keeps(FileFormat format, Architecture architecture, DType dtype) {
  if (!HasFormat(architecture, format)) return false;
  if (format != FileFormat::kWebRwkv && format != FileFormat::kWebRwkvRust) {
    return true;
  }
  return dtype == DType::kF16 && architecture != Architecture::kRwkv51;
}

using FormatParam = std::tuple<DType, ModelShape>;

class FormatLaws : public ::testing::TestWithParam<FormatParam> {
 protected:
  DType dtype() const { return std::get<0>(GetParam()); }
  const ModelShape& shape() const { return std::get<1>(GetParam()); }

  // The same weights in every format that can hold them.
  std::vector<std::string> WriteAll() const {
    const TestTensors tensors = MakeTensors(shape(), dtype());
    std::vector<std::string> paths;
    for (FileFormat format : testing::AllFileFormats()) {
      if (!Keeps(format, shape().architecture, dtype())) continue;
      paths.push_back(WriteCheckpointAs(testing::MakeTempDirectory(), tensors,
                                        shape().architecture, format));
    }
    return paths;
  }
};

TEST_P(FormatLaws, AllFormatsGiveBitIdenticalLogits) {
  const std::vector<std::string> paths = WriteAll();
  ASSERT_GE(paths.size(), 6u);
  Loaded first(paths[0]);
  ASSERT_TRUE(first.ok());
  State expected_state = first.model().NewState();
  const auto expected = first.Forward(kText, &expected_state);
  for (const std::string& path : paths) {
    SCOPED_TRACE(path);
    Loaded other(path);
    ASSERT_TRUE(other.ok());
    ASSERT_EQ(other.model().config().architecture, shape().architecture);
    State state = other.model().NewState();
    EXPECT_EQ(other.Forward(kText, &state), expected);
    EXPECT_EQ(state, expected_state);
    EXPECT_EQ(other.file().Fingerprint(), first.file().Fingerprint());
  }
}

absl::StatusOr<State> Restore(absl::string_view bytes,
                              const ModelIdentity& identity) {
  return ParseState(
      absl::MakeConstSpan(reinterpret_cast<const std::byte*>(bytes.data()),
                          bytes.size()),
      "saved", identity);
}

// A saved conversation can be continued by a process that has the same weights
// in another format.
TEST_P(FormatLaws, StateSavedWithOneFormatContinuesWithAnother) {
  const std::vector<std::string> paths = WriteAll();
  Loaded first(paths.front()), last(paths.back());
  ASSERT_TRUE(first.ok() && last.ok());
  State state = first.model().NewState();
  first.Forward(kText, &state);
  const auto saved = SerializeState(state, first.AsIdentity());
  ASSERT_TRUE(saved.ok()) << saved.status();
  absl::StatusOr<State> restored = Restore(*saved, last.AsIdentity());
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(*restored, state);
  EXPECT_EQ(last.Forward(kText, &*restored), first.Forward(kText, &state));
  EXPECT_EQ(*restored, state);
}

TEST_P(FormatLaws, AnotherModelRefusesASavedState) {
  Loaded own(WriteAll().front());
  TestTensors other_tensors = MakeTensors(shape(), dtype());
  float& weight = other_tensors.begin()->second.values[0];
  weight = weight == 1 ? 2 : 1;
  Loaded other(
      testing::WriteCheckpoint(testing::MakeTempDirectory(), other_tensors));
  ASSERT_TRUE(own.ok() && other.ok());
  const auto saved = SerializeState(own.model().NewState(), own.AsIdentity());
  ASSERT_TRUE(saved.ok()) << saved.status();
  EXPECT_EQ(Restore(*saved, other.AsIdentity()).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

// web-rwkv writes the decays of version 5.1, one per head, as those of 5.2, one
// per channel: another version with the same results.
TEST(FormatLawsTest, Version51OfWebRwkvGivesBitIdenticalLogits) {
  const auto architecture = Architecture::kRwkv51;
  const TestTensors tensors = MakeTensors({architecture, true}, DType::kF16);
  Loaded native(
      testing::WriteCheckpoint(testing::MakeTempDirectory(), tensors));
  Loaded web(WriteCheckpointAs(testing::MakeTempDirectory(), tensors,
                               architecture, FileFormat::kWebRwkv));
  ASSERT_TRUE(native.ok() && web.ok());
  EXPECT_EQ(web.model().config().architecture, Architecture::kRwkv52);
  State state = native.model().NewState(), web_state = state;
  EXPECT_EQ(web.Forward(kText, &web_state), native.Forward(kText, &state));
  EXPECT_EQ(web_state, state);
}

std::string FormatName(const ::testing::TestParamInfo<FormatParam>& info) {
  const auto& [dtype, shape] = info.param;
  return absl::StrCat(NameOf(shape), std::string(NameOf(dtype)));
}

INSTANTIATE_TEST_SUITE_P(AllVersions, FormatLaws,
                         ::testing::Combine(::testing::Values(DType::kF32,
                                                              DType::kF16,
                                                              DType::kBF16),
                                            ::testing::ValuesIn(OddShapes())),
                         FormatName);

}  // namespace
}  // namespace rwkvd
