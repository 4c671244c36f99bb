// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/conversion.h"

#include <cstring>
#include <vector>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

std::vector<std::byte> ToBytes(uint32_t bits, DType dtype) {
  std::vector<std::byte> bytes(SizeOf(dtype));
  std::memcpy(bytes.data(), &bits, bytes.size());
  return bytes;
}

// The bits of a converted element; nothing if it is too large.
std::optional<uint32_t> ConvertedBits(uint32_t bits, DType from, DType to) {
  std::vector<std::byte> result(SizeOf(to));
  if (Convert(ToBytes(bits, from), from, to, absl::MakeSpan(result))) {
    return std::nullopt;
  }
  uint32_t converted = 0;
  std::memcpy(&converted, result.data(), result.size());
  return converted;
}

struct Case {
  uint32_t from;
  uint32_t to;
};

// Computed by hand from the definitions of the formats.
TEST(ConversionTest, RoundsF32ToTheNearestBF16TiesToEven) {
  const Case cases[] = {
      {0x3f800000, 0x3f80},  // 1
      {0x3f807fff, 0x3f80},  // just below half a step over 1
      {0x3f808000, 0x3f80},  // half a step: to the even one, down
      {0x3f808001, 0x3f81},  // just over it
      {0x3f818000, 0x3f82},  // the next half: to the even one, up
      {0xbf818000, 0xbf82},  // and of the other sign
      {0x3fffffff, 0x4000},  // up into the next exponent
      {0x80000000, 0x8000},  // -0
      {0x00000001, 0x0000},  // the smallest subnormal
      {0x00008001, 0x0001},  // a subnormal, just over half a step
      {0x7f7f0000, 0x7f7f},  // the largest
      {0x7f800000, 0x7f80},  // infinity
  };
  for (const auto& [from, to] : cases) {
    EXPECT_EQ(ConvertedBits(from, DType::kF32, DType::kBF16), to)
        << std::hex << from;
  }
}

TEST(ConversionTest, RoundsF32ToTheNearestF16TiesToEven) {
  const Case cases[] = {
      {0x3f800000, 0x3c00},  // 1
      {0x3f801000, 0x3c00},  // 1 + 2^-11, half a step: down to the even one
      {0x3f801001, 0x3c01},  // just over it
      {0x3f803000, 0x3c02},  // 1 + 3 * 2^-11: up to the even one
      {0x33800000, 0x0001},  // 2^-24, the smallest subnormal
      {0x33000000, 0x0000},  // 2^-25, half of it
      {0x33000001, 0x0001},  // just over half
      {0x33c00000, 0x0002},  // 1.5 * 2^-24: up to the even one
      {0x387fffff, 0x0400},  // just below 2^-14, the smallest normal
      {0xb8800000, 0x8400},  // -2^-14
      {0x477fe000, 0x7bff},  // 65504, the largest
      {0x80000000, 0x8000},  // -0
      {0xff800000, 0xfc00},  // -infinity
  };
  for (const auto& [from, to] : cases) {
    EXPECT_EQ(ConvertedBits(from, DType::kF32, DType::kF16), to)
        << std::hex << from;
  }
}

TEST(ConversionTest, RoundsBetweenThe16BitTypes) {
  // 1 + 2^-10 and 1 + 2^-7.
  EXPECT_EQ(ConvertedBits(0x3c01, DType::kF16, DType::kBF16), 0x3f80u);
  EXPECT_EQ(ConvertedBits(0x3c08, DType::kF16, DType::kBF16), 0x3f81u);
  // 65280, and 2^-30, which is too small.
  EXPECT_EQ(ConvertedBits(0x477f, DType::kBF16, DType::kF16), 0x7bf8u);
  EXPECT_EQ(ConvertedBits(0x3080, DType::kBF16, DType::kF16), 0x0000u);
}

TEST(ConversionTest, WidensToF32Exactly) {
  EXPECT_EQ(ConvertedBits(0x3c01, DType::kF16, DType::kF32), 0x3f802000u);
  EXPECT_EQ(ConvertedBits(0x8001, DType::kF16, DType::kF32), 0xb3800000u);
  EXPECT_EQ(ConvertedBits(0x0001, DType::kBF16, DType::kF32), 0x00010000u);
}

TEST(ConversionTest, NaNStaysNaN) {
  for (DType to : {DType::kF16, DType::kBF16}) {
    const std::optional<uint32_t> bits =
        ConvertedBits(0x7fc00000, DType::kF32, to);
    const uint32_t infinity = to == DType::kF16 ? 0x7c00 : 0x7f80;
    ASSERT_TRUE(bits.has_value());
    EXPECT_GT(*bits & 0x7fff, infinity);
  }
}

TEST(ConversionTest, NeverRoundsAFiniteNumberToInfinity) {
  // 65505, just over 65504, and -1e6; the float after the largest BF16.
  EXPECT_EQ(ConvertedBits(0x477fe100, DType::kF32, DType::kF16), std::nullopt);
  EXPECT_EQ(ConvertedBits(0x477fe001, DType::kF32, DType::kF16), std::nullopt);
  EXPECT_EQ(ConvertedBits(0xc9742400, DType::kF32, DType::kF16), std::nullopt);
  EXPECT_EQ(ConvertedBits(0x4780, DType::kBF16, DType::kF16), std::nullopt);
  EXPECT_EQ(ConvertedBits(0x7f7f0001, DType::kF32, DType::kBF16), std::nullopt);
  EXPECT_EQ(ConvertedBits(0xff7fffff, DType::kF32, DType::kBF16), std::nullopt);
}

TEST(ConversionTest, ReturnsTheIndexOfTheFirstNumberThatIsTooLarge) {
  const float values[] = {1, 65504, 7e4f, 8e4f};
  std::byte result[8];
  EXPECT_EQ(Convert(absl::MakeConstSpan(
                        reinterpret_cast<const std::byte*>(values), 16),
                    DType::kF32, DType::kF16, absl::MakeSpan(result)),
            2);
}

TEST(ConversionTest, DoesNotRoundDecayBonusAndStates) {
  const auto after = [](const std::string& name, TargetDType target) {
    return DTypeAfter({.name = name, .dtype = DType::kF32}, target);
  };
  for (const char* name : {"blocks.3.att.time_decay", "blocks.0.att.time_first",
                           "blocks.0.att.time_faaaa", "blocks.11.att.w0",
                           "blocks.0.att.time_state"}) {
    EXPECT_EQ(after(name, {DType::kBF16}), DType::kF32) << name;
    EXPECT_EQ(after(name, {DType::kF16}), DType::kF32) << name;
    EXPECT_EQ(after(name, {}), DType::kF32) << name;
  }
  for (const char* name :
       {"emb.weight", "blocks.0.att.time_decay_w1", "blocks.0.ln1.bias",
        "blocks.0.att.w1", "blocks.0.att.ln_x.weight"}) {
    EXPECT_EQ(after(name, {DType::kBF16}), DType::kBF16) << name;
    EXPECT_EQ(after(name, {}), DType::kF32) << name;
  }
  const Tensor decay = {.name = "blocks.0.att.time_decay",
                        .dtype = DType::kBF16};
  EXPECT_EQ(DTypeAfter(decay, {DType::kF16}), DType::kBF16);
  EXPECT_EQ(DTypeAfter(decay, {DType::kF32}), DType::kF32);
}

TEST(ConversionTest, KeepsQuantizedWeights) {
  const Tensor quants = {.name = "head.weight.int8.rows", .dtype = DType::kU8};
  const Tensor scales = {.name = "head.weight.scales", .dtype = DType::kBF16};
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    EXPECT_EQ(DTypeAfter(quants, {dtype}), DType::kU8);
    EXPECT_EQ(DTypeAfter(scales, {dtype}), DType::kBF16);
  }
}

TEST(ConversionTest, FlagAcceptsATypeOrKeep) {
  TargetDType target;
  std::string error;
  for (const char* name : {"keep", "f32", "f16", "bf16"}) {
    ASSERT_TRUE(AbslParseFlag(name, &target, &error));
    EXPECT_EQ(AbslUnparseFlag(target), name);
  }
  for (const char* name : {"", "int8", "float", "Keep", "u8"}) {
    EXPECT_FALSE(AbslParseFlag(name, &target, &error)) << name;
  }
  EXPECT_EQ(error, "expected keep, f32, f16 or bf16");
}

}  // namespace
}  // namespace rwkvd
