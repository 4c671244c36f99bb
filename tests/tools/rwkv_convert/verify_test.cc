// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/verify.h"

#include <limits>
#include <string>

#include "core/base/thread_pool.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/quantized_checkpoint.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using testing::TestTensors;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

absl::Status Check(const TestTensors& source, const TestTensors& written,
                   const Target& target = {}) {
  ThreadPool pool(2);
  return Verify(
      *testing::MakeTensorFile(source), *testing::MakeTensorFile(written),
      target, pool, nullptr,
      [](absl::string_view, int64_t, int64_t) { return absl::OkStatus(); });
}

std::string VerifyError(const TestTensors& source, const TestTensors& written,
                        const Target& target = {}) {
  const absl::Status status = Check(source, written, target);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  return std::string(status.message());
}

TestTensors One(std::vector<float> values, DType dtype = DType::kF32) {
  const int64_t size = static_cast<int64_t>(values.size());
  return {{"w", {.shape = {size}, .dtype = dtype, .values = values}}};
}

TEST(VerifyTest, AcceptsTheRightResult) {
  const TestTensors tensors = testing::RandomRwkv4({}, 1);
  EXPECT_TRUE(Check(tensors, tensors).ok());
  EXPECT_TRUE(Check(One({}), One({})).ok());
}

TEST(VerifyTest, NamesTensorElementAndValuesOfADifference) {
  TestTensors written = testing::RandomRwkv4({}, 1);
  TestTensors source = written;
  source["blocks.1.ffn.value.weight"].values[77] = .5f;
  written["blocks.1.ffn.value.weight"].values[77] = .25f;
  EXPECT_THAT(VerifyError(source, written),
              HasSubstr("verification failed: tensor "
                        "\"blocks.1.ffn.value.weight\", element 77: expected "
                        "0.5 (3f000000), got 0.25 (3e800000)"));
}

TEST(VerifyTest, ComparesTheLastElement) {
  std::vector<float> values(5'000'000, 1);
  const TestTensors source = One(values);
  values.back() = 2;
  EXPECT_THAT(VerifyError(source, One(values)), HasSubstr("element 4999999:"));
}

TEST(VerifyTest, ComparesTheSignOfZero) {
  EXPECT_THAT(VerifyError(One({0}), One({-0.f})),
              HasSubstr("expected 0 (00000000), got -0 (80000000)"));
}

TEST(VerifyTest, NamesMissingAndUnexpectedTensors) {
  const TestTensors tensors = testing::RandomRwkv4({}, 1);
  TestTensors fewer = tensors;
  fewer.erase("ln_out.bias");
  EXPECT_THAT(VerifyError(tensors, fewer),
              HasSubstr("tensor \"ln_out.bias\" is missing"));
  EXPECT_THAT(VerifyError(fewer, tensors),
              HasSubstr("tensor \"ln_out.bias\" is not in "));
}

TEST(VerifyTest, ComparesShapesAndTypes) {
  TestTensors matrix = One({1, 2, 3, 4});
  matrix["w"].shape = {2, 2};
  EXPECT_THAT(VerifyError(One({1, 2, 3, 4}), matrix),
              HasSubstr("tensor \"w\": expected F32 [4], got F32 [2, 2]"));
  EXPECT_THAT(VerifyError(One({1}), One({1}), {DType::kBF16}),
              HasSubstr("tensor \"w\": expected BF16 [1], got F32 [1]"));
  EXPECT_THAT(VerifyError(One({1}), One({1}, DType::kBF16)),
              HasSubstr("tensor \"w\": expected F32 [1], got BF16 [1]"));
}

struct Rounding {
  DType to;
  float source;
  float right;
  float wrong;
  const char* message;
};

TEST(VerifyTest, AcceptsOnlyTheNearestNumber) {
  const Rounding roundings[] = {
      // The steps over 1 are 2^-7 and 2^-10.
      {DType::kBF16, 0x1.018p0f, 0x1.02p0f, 1, "expected 1.0078125 (3f81)"},
      {DType::kBF16, 0x1.01p0f, 1, 0x1.02p0f, "expected 1 (3f80)"},
      {DType::kBF16, 0x1.03p0f, 0x1.04p0f, 0x1.02p0f, "(3f82)"},
      {DType::kBF16, 0x1p-133f, 0x1p-133f, 0, "(0001)"},
      {DType::kBF16, -0x1p-149f, -0.f, 0.f, "expected -0 (8000)"},
      {DType::kBF16, kInfinity, kInfinity, 3e38f, "(7f80)"},
      {DType::kF16, 0x1.002p0f, 1, 0x1.004p0f, "expected 1 (3c00)"},
      {DType::kF16, 0x1.006p0f, 0x1.008p0f, 0x1.004p0f, "(3c02)"},
      {DType::kF16, 65500, 65504, 65472, "expected 65504 (7bff)"},
      {DType::kF16, 65500, 65504, kInfinity, "got inf (7c00)"},
      {DType::kF16, 1, 1, 0, "expected 1 (3c00), got 0 (0000)"},
      {DType::kF16, 1, 1, 65504, "expected 1 (3c00), got 65504"},
      {DType::kF16, 0x1.8p-24f, 0x1p-23f, 0x1p-24f, "(0002)"},
      {DType::kF16, 3, 3, -3, "got -3 (c200)"},
  };
  for (const Rounding& it : roundings) {
    EXPECT_TRUE(Check(One({it.source}), One({it.right}, it.to), {it.to}).ok())
        << it.source;
    EXPECT_THAT(VerifyError(One({it.source}), One({it.wrong}, it.to), {it.to}),
                HasSubstr(it.message))
        << it.source;
  }
}

TEST(VerifyTest, AcceptsNothingForANumberThatIsTooLarge) {
  for (float got : {65504.f, kInfinity}) {
    EXPECT_THAT(
        VerifyError(One({1e6f}), One({got}, DType::kF16), {DType::kF16}),
        HasSubstr("expected a number that is too large for the type, got "));
  }
}

TEST(VerifyTest, WideningMustBeExact) {
  const TestTensors source = One({1.5f}, DType::kF16);
  EXPECT_TRUE(Check(source, One({1.5f}), {DType::kF32}).ok());
  EXPECT_THAT(VerifyError(source, One({1.500001f}), {DType::kF32}),
              HasSubstr("expected 1.5 (3fc00000), got 1.50000095"));
}

TEST(VerifyTest, NaNStaysNaN) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(Check(One({nan}), One({nan})).ok());
  EXPECT_TRUE(Check(One({nan}), One({nan}, DType::kF16), {DType::kF16}).ok());
  EXPECT_THAT(VerifyError(One({nan}), One({1}, DType::kF16), {DType::kF16}),
              HasSubstr("expected nan"));
}

TEST(VerifyTest, QuantizesMatricesOnceMore) {
  const TestTensors source =
      testing::RandomRwkv4({.embedding = 64, .attention = 64, .ffn = 128}, 1);
  const Target target = {.weights = WeightKind::kInt4Mixed};
  const TestTensors good = testing::Quantized(source, target.weights);
  EXPECT_TRUE(Check(source, good, target).ok());

  const std::string key = "blocks.1.att.key.weight";
  TestTensors written = good;
  float& byte = written[key + ".int4.rows"].values[700];
  byte = byte == 17 ? 18 : 17;
  EXPECT_THAT(VerifyError(source, written, target),
              HasSubstr("\"blocks.1.att.key.weight.int4.rows\", byte 700: "
                        "expected "));
  written = good;
  written[key + ".scales"].values[60] *= 2;
  EXPECT_THAT(VerifyError(source, written, target),
              HasSubstr("\"blocks.1.att.key.weight.scales\", byte 12"));
  written = good;
  written.erase(key + ".scales");
  EXPECT_THAT(VerifyError(source, written, target),
              HasSubstr("\"blocks.1.att.key.weight.scales\" is missing"));
  written = good;
  written[key] = source.at(key);
  EXPECT_THAT(VerifyError(source, written, target),
              HasSubstr("\"blocks.1.att.key.weight\" is not in "));
  EXPECT_THAT(VerifyError(source, source, target),
              HasSubstr("\"blocks.0.att.key.weight.int4.rows\" is missing"));
}

TEST(VerifyTest, ProgressEndsAtAllBytesAndCanCancel) {
  const auto file = testing::MakeTensorFile(testing::RandomRwkv4({}, 1));
  ThreadPool pool(2);
  int64_t last = 0;
  ASSERT_TRUE(Verify(*file, *file, {}, pool, nullptr,
                     [&](absl::string_view doing, int64_t done, int64_t all) {
                       EXPECT_EQ(doing, "verifying");
                       EXPECT_EQ(all, file->tensor_bytes());
                       EXPECT_GE(done, last);
                       last = done;
                       return absl::OkStatus();
                     })
                  .ok());
  EXPECT_EQ(last, file->tensor_bytes());
  EXPECT_TRUE(absl::IsCancelled(Verify(*file, *file, {}, pool, nullptr,
                                       [](absl::string_view, int64_t, int64_t) {
                                         return absl::CancelledError("enough");
                                       })));
}

}  // namespace
}  // namespace rwkvd
