// SPDX-License-Identifier: Apache-2.0
// Compares the layout writers with files of the projects' own converters.

#include "tests/testing/layout_writer.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd::testing {
namespace {

TestTensors Fixture(const std::string& path) {
  return ReadSafetensorsOrDie(
      absl::StrCat(FixturesDirectory(), "/models/", path));
}

void ExpectSame(const TestTensors& actual, const TestTensors& expected) {
  for (const auto& [name, tensor] : expected) {
    const auto found = actual.find(name);
    ASSERT_TRUE(found != actual.end()) << name;
    EXPECT_EQ(found->second.shape, tensor.shape) << name;
    EXPECT_TRUE(found->second == tensor) << name;
  }
  EXPECT_EQ(actual.size(), expected.size());
}

TEST(LayoutWriterTest, HuggingFaceOfVersion4EqualsTheFixture) {
  RWKVD_NEED_FIXTURES();
  ExpectSame(ToHuggingFace(Fixture("hybrid-4v0/model-bf16.safetensors"),
                           Architecture::kRwkv4),
             Fixture("hybrid-4v0/hf/model.safetensors"));
}

TEST(LayoutWriterTest, HuggingFaceOfVersion6EqualsTheFixture) {
  RWKVD_NEED_FIXTURES();
  ExpectSame(ToHuggingFace(Fixture("tiny-6v0-1m/model-bf16.safetensors"),
                           Architecture::kRwkv6),
             Fixture("tiny-6v0-1m/hf/model.safetensors"));
}

TEST(LayoutWriterTest, FlaOfVersion7EqualsTheFixture) {
  RWKVD_NEED_FIXTURES();
  ExpectSame(
      ToFla(Fixture("synth-7v0/model-bf16.safetensors"), Architecture::kRwkv7),
      Fixture("synth-7v0/fla/model.safetensors"));
}

TEST(LayoutWriterTest, WebRwkvOfVersion7EqualsTheFixture) {
  RWKVD_NEED_FIXTURES();
  ExpectSame(ToWebRwkv(Fixture("synth-7v0/model-f32.safetensors"),
                       Architecture::kRwkv7),
             Fixture("synth-7v0/webrwkv/model-f16.st"));
}

TEST(LayoutWriterTest, OldFlaHasTheTokenShiftsInOneTensor) {
  const TestTensors native = RandomRwkv7({}, 1);
  const TestTensors fla = ToFla(native, Architecture::kRwkv7, FlaAge::kOld);
  const TestTensor& shifts = fla.at("model.layers.1.attn.x_x");
  EXPECT_EQ(shifts.shape, (std::vector<int64_t>{6, 96}));
  EXPECT_EQ(shifts.values[96], native.at("blocks.1.att.x_w").values[0]);
  EXPECT_EQ(shifts.values.back(), native.at("blocks.1.att.x_g").values.back());
  EXPECT_EQ(fla.count("model.layers.1.attn.x_w"), 0u);
  EXPECT_EQ(fla.count("model.layers.1.ffn.x_k"), 1u);
}

// The LoRA for the mix of k is block 1 natively, and block 2 in
// flash-linear-attention.
TEST(LayoutWriterTest, FlaOfVersion6HasTheReceptanceFirst) {
  const TestTensors native = RandomRwkv6({}, 1);  // C = 96, rank 8
  const TestTensors fla = ToFla(native, Architecture::kRwkv6);
  const std::string attn = "model.layers.1.attn.", att = "blocks.1.att.";
  const TestTensor& down = fla.at(attn + "x_proj.0.linear.weight");
  const TestTensor& up = fla.at(attn + "x_proj.2.weight");
  const TestTensor& bias = fla.at(attn + "x_bias");
  EXPECT_EQ(down.shape, (std::vector<int64_t>{40, 96}));
  EXPECT_EQ(up.shape, (std::vector<int64_t>{96, 40}));
  EXPECT_EQ(bias.shape, (std::vector<int64_t>{5, 96}));
  // Rank 3, channel 7.
  EXPECT_EQ(down.values[(2 * 8 + 3) * 96 + 7],
            native.at(att + "time_maa_w1").values[7 * 40 + 1 * 8 + 3]);
  EXPECT_EQ(up.values[7 * 40 + 2 * 8 + 3],
            native.at(att + "time_maa_w2").values[(1 * 8 + 3) * 96 + 7]);
  EXPECT_EQ(bias.values[2 * 96 + 7], native.at(att + "time_maa_k").values[7]);
}

TEST(LayoutWriterTest, FlaOfVersion6RenamesAllTensors) {
  for (const auto& [name, tensor] :
       ToFla(RandomRwkv6({}, 1), Architecture::kRwkv6)) {
    EXPECT_TRUE(absl::StartsWith(name, "model.") || name == "lm_head.weight")
        << name;
    EXPECT_FALSE(absl::StrContains(name, "time_")) << name;
    EXPECT_FALSE(absl::StrContains(name, "attn.gate")) << name;
  }
}

TEST(LayoutWriterTest, WebRwkvExpandsVersion51ToChannels) {
  const TestTensors native = RandomRwkv5({.minor = 1}, 1, DType::kF16);
  const TestTensors web = ToWebRwkv(native, Architecture::kRwkv51);
  const TestTensor& first = web.at("blocks.1.att.time_first");
  EXPECT_EQ(first.shape, (std::vector<int64_t>{6, 16}));
  EXPECT_EQ(first.values[5 * 16 + 2],
            native.at("blocks.1.att.time_faaaa").values[5]);
}

TEST(LayoutWriterTest, RustWebRwkvConverterKeepsVersion7Native) {
  const TestTensors native = RandomRwkv7({}, 1, DType::kF16);
  ExpectSame(ToWebRwkv(native, Architecture::kRwkv7, WebRwkvConverter::kRust),
             native);
}

}  // namespace
}  // namespace rwkvd::testing
