// SPDX-License-Identifier: Apache-2.0
// Tests checkpoints that are quantized with calibration.

#include "tools/rwkv_convert/calibration.h"

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/tiny_checkpoint.h"
#include "tests/tools/rwkv_convert/conversions.h"
#include "tools/rwkv_convert/convert_checkpoint.h"
#include "tools/rwkv_convert/shard_plan.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using testing::TestTensors;

constexpr int64_t kByteVocab = 256;

// A model whose tokens are bytes.
TestTensors MakeByteModel(Architecture architecture) {
  const auto rwkv5 = [&](int minor) {
    return testing::RandomRwkv5({.minor = minor,
                                 .heads = 4,
                                 .head_size = 32,
                                 .ffn = 192,
                                 .vocab = kByteVocab},
                                1);
  };
  switch (architecture) {
    case Architecture::kRwkv4:
      return testing::RandomRwkv4({.layers = 2,
                                   .embedding = 128,
                                   .attention = 64,
                                   .ffn = 320,
                                   .vocab = kByteVocab},
                                  1);
    case Architecture::kRwkv50:
      return rwkv5(0);
    case Architecture::kRwkv51:
      return rwkv5(1);
    case Architecture::kRwkv52:
      return rwkv5(2);
    case Architecture::kRwkv6:
      return testing::RandomRwkv6(
          {.heads = 4, .head_size = 32, .ffn = 192, .vocab = kByteVocab}, 1);
    case Architecture::kRwkv7:
      return testing::RandomRwkv7(
          {.heads = 4, .head_size = 32, .ffn = 192, .vocab = kByteVocab}, 1);
  }
  return {};
}

// A text of few letters, so that the inputs of matrices are correlated.
std::string Text(int64_t size, uint32_t seed) {
  std::string text;
  for (int64_t i = 0; i < size; ++i) {
    seed = seed * 1664525 + 1013904223;
    text.push_back("the quick brown fox"[(seed >> 16) % 19]);
  }
  return text;
}

std::string WriteText(const std::string& text) {
  const std::string path = testing::MakeTempDirectory() + "/text";
  testing::WriteFileOrDie(path, text);
  return path;
}

// Converts with `options` and returns the folder of the result.
std::string Convert(ConvertOptions options) {
  options.directory = testing::MakeTempDirectory() + "/out";
  const auto result = testing::RunConversion(options);
  EXPECT_TRUE(result.ok()) << result.status();
  return options.directory;
}

std::string Bytes(const std::string& directory) {
  return testing::ReadFileOrDie(directory + "/" + kSingleFile);
}

// The logits after each byte of `text`.
std::vector<float> LogitsOfText(const std::string& path,
                                const std::string& text) {
  return testing::LogitsOf(path, {text.begin(), text.end()});
}

double SquaredError(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::pow(a[i] - b[i], 2.0);
  return sum;
}

class CalibratedVersionTest : public ::testing::TestWithParam<Architecture> {};

TEST_P(CalibratedVersionTest, LogitsAreCloserToTheOriginals) {
  const std::string input = testing::WriteCheckpoint(
      testing::MakeTempDirectory(), MakeByteModel(GetParam()));
  const std::string calibration = WriteText(Text(4000, 1));
  const std::string text = Text(200, 2);
  const std::vector<float> original = LogitsOfText(input, text);
  for (const WeightKind kind : {WeightKind::kInt8, WeightKind::kInt4}) {
    const std::string plain =
        Convert({.input = input, .target = {.weights = kind}});
    const std::string calibrated = Convert({.input = input,
                                            .target = {.weights = kind},
                                            .calibration = {calibration},
                                            .threads = 2,
                                            .verify = true});
    EXPECT_EQ(Bytes(calibrated).size(), Bytes(plain).size());
    EXPECT_LT(SquaredError(LogitsOfText(calibrated, text), original),
              0.7 * SquaredError(LogitsOfText(plain, text), original))
        << NameOf(kind);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Versions, CalibratedVersionTest,
    ::testing::Values(Architecture::kRwkv4, Architecture::kRwkv50,
                      Architecture::kRwkv51, Architecture::kRwkv52,
                      Architecture::kRwkv6, Architecture::kRwkv7));

class CalibrationTest : public ::testing::Test {
 protected:
  ConvertOptions Options(const std::string& text) const {
    return {.input = input_,
            .directory = testing::MakeTempDirectory() + "/out",
            .target = {.weights = WeightKind::kInt4},
            .calibration = {text}};
  }
  std::string ErrorOf(const std::string& text) const {
    const auto result = testing::RunConversion(Options(text));
    EXPECT_FALSE(result.ok());
    return std::string(result.status().message());
  }

  TestTensors tensors_ = MakeByteModel(Architecture::kRwkv4);
  const std::string input_ =
      testing::WriteCheckpoint(testing::MakeTempDirectory(), tensors_);
};

TEST_F(CalibrationTest, FileDependsOnTheTextButNotOnThreads) {
  ConvertOptions options = Options(WriteText(Text(3000, 1)));
  const std::string expected = Bytes(Convert(options));
  options.threads = 3;
  EXPECT_EQ(Bytes(Convert(options)), expected);
  options.calibration.text = WriteText(Text(3000, 2));
  EXPECT_NE(Bytes(Convert(options)), expected);
}

// The first and the third of four windows.
TEST_F(CalibrationTest, WindowsAreSpreadEvenlyOverTheText) {
  constexpr int64_t kWindow = Calibration::kWindowTokens;
  const std::string text = Text(4 * kWindow, 1);
  ConvertOptions options = Options(WriteText(text));
  options.calibration.max_tokens = 2 * kWindow;
  const std::string expected = Bytes(Convert(options));
  options.calibration.text = WriteText(
      absl::StrCat(text.substr(0, kWindow), text.substr(2 * kWindow, kWindow)));
  options.calibration.max_tokens = 1'000'000;
  EXPECT_EQ(Bytes(Convert(options)), expected);
}

TEST_F(CalibrationTest, RefusesUnusableTexts) {
  EXPECT_THAT(ErrorOf("/nonexistent/text"), HasSubstr("/nonexistent/text"));
  const std::string empty = WriteText("");
  EXPECT_THAT(ErrorOf(empty), HasSubstr(empty));
  const std::string large = WriteText("a");
  std::filesystem::resize_file(large, Calibration::kMaxTextBytes + 1);
  EXPECT_THAT(ErrorOf(large),
              HasSubstr("expected at most 67108864 bytes of text"));
}

TEST_F(CalibrationTest, RefusesAModelWhoseActivationsOverflow) {
  for (float& value : tensors_["blocks.1.ln2.weight"].values) {
    value = std::numeric_limits<float>::max();  // more than 1 overflows
  }
  ConvertOptions options = Options(WriteText(Text(100, 1)));
  options.input =
      testing::WriteCheckpoint(testing::MakeTempDirectory(), tensors_);
  const auto refused = testing::RunConversion(options);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("cannot be calibrated"));
}

TEST_F(CalibrationTest, ProgressReportsBytesOfTextAndCanCancel) {
  int64_t last = 0;
  const auto result = ConvertCheckpoint(
      Options(WriteText(Text(1500, 1))),
      [&](absl::string_view doing, int64_t done, int64_t all) {
        if (doing == "writing") return absl::OkStatus();  // the embedding
        EXPECT_EQ(doing, "calibrating");
        EXPECT_EQ(all, 1500);
        EXPECT_GE(done, last);
        EXPECT_LE(done, all);
        last = done;
        return done < 1200 ? absl::OkStatus() : absl::CancelledError("enough");
      });
  EXPECT_TRUE(absl::IsCancelled(result.status()));
  EXPECT_GE(last, 1200);
}

}  // namespace
}  // namespace rwkvd
