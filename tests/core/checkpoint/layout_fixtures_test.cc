// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/float16.h"
#include "core/checkpoint/layout.h"
#include "gtest/gtest.h"
#include "tests/core/checkpoint/layout_checks.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

using testing::ExpectTensors;
using testing::ReadTensors;
using testing::TestTensors;

TestTensors NativeFixture(const std::string& path) {
  TestTensors tensors;
  for (const Tensor& tensor :
       ReadTensors(testing::FixturesDirectory() + "/models/" + path)) {
    tensors[tensor.name] = {tensor.shape, tensor.dtype, ToFloat(tensor)};
  }
  for (const char* unused : {"v0", "v1", "v2"}) {
    tensors.erase(absl::StrCat("blocks.0.att.", unused));
  }
  return tensors;
}

void ExpectFixture(const std::string& path, Layout layout,
                   const TestTensors& expected) {
  const auto native = ToNativeLayout(
      ReadTensors(testing::FixturesDirectory() + "/models/" + path), path, {});
  ASSERT_TRUE(native.ok()) << native.status();
  EXPECT_EQ(native->layout, layout);
  ExpectTensors(native->tensors, expected);
}

TEST(LayoutFixturesTest, HuggingFaceEqualsNative) {
  RWKVD_NEED_FIXTURES();
  ExpectFixture("hybrid-4v0/hf/model.safetensors", Layout::kHuggingFace,
                NativeFixture("hybrid-4v0/model-bf16.safetensors"));
  ExpectFixture("tiny-6v0-1m/hf/model.safetensors", Layout::kHuggingFace,
                NativeFixture("tiny-6v0-1m/model-bf16.safetensors"));
}

TEST(LayoutFixturesTest, FlashLinearAttentionEqualsNative) {
  RWKVD_NEED_FIXTURES();
  ExpectFixture("synth-7v0/fla/model.safetensors",
                Layout::kFlashLinearAttention,
                NativeFixture("synth-7v0/model-bf16.safetensors"));
}

TEST(LayoutFixturesTest, WebRwkvEqualsRoundedNative) {
  RWKVD_NEED_FIXTURES();
  TestTensors rounded = NativeFixture("synth-7v0/model-f32.safetensors");
  for (auto& [name, tensor] : rounded) {
    tensor.dtype = DType::kF16;
    for (float& value : tensor.values) {
      value = F16ToFloat(FloatToF16(value));
    }
  }
  ExpectFixture("synth-7v0/webrwkv/model-f16.st", Layout::kWebRwkv, rounded);
}

TEST(LayoutFixturesTest, NativeFilesAreUnchanged) {
  RWKVD_NEED_FIXTURES();
  for (const char* path : {"hybrid-4v0/model-f16.safetensors",
                           "tiny-5v1-730k/model-f32.safetensors",
                           "tiny-6v0-1m/model-bf16.safetensors",
                           "tiny-7v0-834k/model-bf16.safetensors",
                           "synth-7v0/model-f32.safetensors"}) {
    ExpectFixture(path, Layout::kNative, NativeFixture(path));
  }
}

// All spellings of one model, whose tensors are views of the files.
TEST(LayoutFixturesTest, SpellingsEqualNativeWithoutCopies) {
  RWKVD_NEED_FORMAT_FIXTURES();
  const std::string root =
      testing::FormatFixturesDirectory() + "/hf7-spellings/";
  TestTensors expected =
      testing::ReadSafetensorsOrDie(root + "native/model.safetensors");
  for (const char* unused : {"v0", "v1", "v2"}) {
    expected.erase(absl::StrCat("blocks.0.att.", unused));
  }
  for (const char* name : {"rwkv7-prefix", "model-prefix", "pr-attention",
                           "pr-embeddings", "rwkvrs-standard"}) {
    const auto config = FindHubConfig(root + name);
    ASSERT_TRUE(config.ok()) << config.status();
    const auto native = ToNativeLayout(
        ReadTensors(absl::StrCat(root, name, "/model.safetensors")), name,
        *config);
    ASSERT_TRUE(native.ok()) << native.status();
    EXPECT_EQ(native->layout, Layout::kHuggingFace) << name;
    EXPECT_EQ(native->copied_bytes, 0) << name;
    ExpectTensors(native->tensors, expected);
  }
}

}  // namespace
}  // namespace rwkvd
