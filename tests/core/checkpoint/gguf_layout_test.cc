// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/gguf_layout.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/gguf_writer.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using testing::GgufWriter;
using ::testing::HasSubstr;

constexpr uint32_t kF16 = 1, kGgmlQ8_0 = 8;

// A file with the key-values of `architecture` and heads of two channels.
GgufWriter GgufOf(const std::string& architecture) {
  GgufWriter writer;
  writer.Text("general.architecture", architecture)
      .U32(architecture + ".wkv.head_size", 2);
  return writer;
}

class GgufLayoutTest : public ::testing::Test {
 protected:
  // Translates the file, and keeps it.
  absl::Status Translate(const GgufWriter& writer) {
    const std::string path = testing::MakeTempDirectory() + "/m.gguf";
    testing::WriteFileOrDie(path, writer.Bytes());
    auto file = MappedFile::Open(path);
    EXPECT_TRUE(file.ok()) << file.status();
    file_ = *file;
    auto gguf = ParseGguf(*file_);
    EXPECT_TRUE(gguf.ok()) << gguf.status();
    auto native = GgufToNativeLayout(*std::move(gguf));
    if (native.ok()) native_ = *std::move(native);
    return native.status();
  }

  std::string Message(const GgufWriter& writer) {
    const absl::Status status = Translate(writer);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  }

  const Tensor& Find(const std::string& name) {
    const auto found =
        std::find_if(native_.tensors.begin(), native_.tensors.end(),
                     [&](const Tensor& tensor) { return tensor.name == name; });
    EXPECT_NE(found, native_.tensors.end()) << name;
    static const auto* const kNone = new Tensor;
    return found == native_.tensors.end() ? *kNone : *found;
  }

  std::shared_ptr<const MappedFile> file_;
  NativeTensors native_;
};

std::vector<float> Counting(int size) {
  std::vector<float> values(size);
  std::iota(values.begin(), values.end(), 0);
  return values;
}

TEST_F(GgufLayoutTest, LowRankMatricesAreTransposedViews) {
  GgufWriter writer = GgufOf("rwkv7");
  writer.Floats("blk.0.time_mix_w1.weight", {3, 2}, Counting(6));
  ASSERT_TRUE(Translate(writer).ok());
  EXPECT_EQ(native_.layout, Layout::kGguf);
  EXPECT_EQ(native_.copied_bytes, 0);
  const Tensor& w1 = Find("blocks.0.att.w1");
  EXPECT_THAT(w1.shape, ElementsAre(3, 2));
  EXPECT_THAT(ToFloat(w1), ElementsAre(0, 3, 1, 4, 2, 5));
}

TEST_F(GgufLayoutTest, StackedMatricesAreTransposedOneByOne) {
  GgufWriter writer = GgufOf("rwkv6");
  writer.Floats("blk.0.time_mix_w2.weight", {2, 3, 2}, Counting(12));
  ASSERT_TRUE(Translate(writer).ok());
  const Tensor& w2 = Find("blocks.0.att.time_maa_w2");
  EXPECT_THAT(w2.shape, ElementsAre(2, 2, 3));
  EXPECT_THAT(ToFloat(w2), ElementsAre(0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11));
}

TEST_F(GgufLayoutTest, FusedShiftsAreVectors) {
  GgufWriter writer = GgufOf("rwkv7");
  writer.Floats("blk.0.time_mix_lerp_fused.weight", {2, 1, 1, 6}, Counting(12));
  ASSERT_TRUE(Translate(writer).ok());
  int first = 0;
  for (const char* letter : {"r", "w", "k", "v", "a", "g"}) {
    const Tensor& x = Find(absl::StrCat("blocks.0.att.x_", letter));
    EXPECT_THAT(x.shape, ElementsAre(1, 1, 2));
    EXPECT_THAT(ToFloat(x), ElementsAre(first, first + 1)) << letter;
    first += 2;
  }
}

TEST_F(GgufLayoutTest, ShiftsOfVersion6AreFusedOrSeparate) {
  GgufWriter fused = GgufOf("rwkv6"), separate = GgufOf("rwkv6");
  fused.Floats("blk.0.time_mix_lerp_fused.weight", {2, 1, 1, 5}, Counting(10));
  float first = 0;
  for (const char* letter : {"w", "k", "v", "r", "g"}) {
    separate.Floats(absl::StrCat("blk.0.time_mix_lerp_", letter, ".weight"),
                    {2, 1, 1}, {first, first + 1});
    first += 2;
  }
  for (const GgufWriter& writer : {fused, separate}) {
    ASSERT_TRUE(Translate(writer).ok());
    EXPECT_THAT(ToFloat(Find("blocks.0.att.time_maa_w")), ElementsAre(0, 1));
    EXPECT_THAT(ToFloat(Find("blocks.0.att.time_maa_r")), ElementsAre(6, 7));
    EXPECT_THAT(ToFloat(Find("blocks.0.att.time_maa_g")), ElementsAre(8, 9));
  }
}

TEST_F(GgufLayoutTest, TheBonusOfVersion7HasARowForEachHead) {
  GgufWriter writer = GgufOf("rwkv7");
  writer.Floats("blk.0.time_mix_r_k.weight", {6}, Counting(6));
  ASSERT_TRUE(Translate(writer).ok());
  EXPECT_THAT(Find("blocks.0.att.r_k").shape, ElementsAre(3, 2));
}

TEST_F(GgufLayoutTest, ValueMixOfLayer0IsDropped) {
  GgufWriter writer = GgufOf("rwkv7");
  for (const char* layer : {"0", "1"}) {
    writer.Floats(absl::StrCat("blk.", layer, ".time_mix_v0.weight"), {2},
                  {1, 2});
  }
  ASSERT_TRUE(Translate(writer).ok());
  ASSERT_EQ(native_.tensors.size(), 1u);
  EXPECT_EQ(native_.tensors[0].name, "blocks.1.att.v0");
}

// A file of two layers, the second of which is divided by 2.
GgufWriter Rescaled(uint32_t type, const std::string& bytes) {
  GgufWriter writer = GgufOf("rwkv6");
  writer.U32("rwkv6.rescale_every_n_layers", 1);
  for (const char* layer : {"0", "1"}) {
    writer.Tensor(absl::StrCat("blk.", layer, ".channel_mix_value.weight"),
                  {32, 1}, type, bytes);
  }
  return writer;
}

TEST_F(GgufLayoutTest, RescalingIsUndoneInACopy) {
  std::string halves;
  for (int i = 0; i < 32; ++i) halves += std::string("\x00\x38", 2);  // 0.5
  ASSERT_TRUE(Translate(Rescaled(kF16, halves)).ok());
  EXPECT_EQ(ToFloat(Find("blocks.0.ffn.value.weight"))[31], .5f);
  EXPECT_EQ(ToFloat(Find("blocks.1.ffn.value.weight"))[31], 1);
  EXPECT_EQ(native_.copied_bytes, 64);
}

TEST_F(GgufLayoutTest, RescalingOfBlocksIsUndoneByTheFactor) {
  const std::string block = std::string("\x00\x38", 2) + std::string(32, '\3');
  ASSERT_TRUE(Translate(Rescaled(kGgmlQ8_0, block)).ok());
  EXPECT_EQ(ToFloat(Find("blocks.0.ffn.value.weight"))[31], 1.5f);
  EXPECT_EQ(ToFloat(Find("blocks.1.ffn.value.weight"))[31], 3);
  EXPECT_EQ(Find("blocks.1.ffn.value.weight").factor, 2);
  EXPECT_EQ(native_.copied_bytes, 0);
}

TEST_F(GgufLayoutTest, RescalingMustNotOverflow) {
  std::string large;
  for (int i = 0; i < 32; ++i) large += std::string("\x00\x7b", 2);  // 57344
  EXPECT_THAT(Message(Rescaled(kF16, large)),
              HasSubstr("\"blk.1.channel_mix_value.weight\": element 0 times"));
}

TEST_F(GgufLayoutTest, OtherArchitecturesAreNamed) {
  EXPECT_THAT(Message(GgufOf("llama")),
              HasSubstr("expected \"rwkv6\" or \"rwkv7\", got \"llama\""));
  for (const char* hybrid : {"rwkv6qwen2", "arwkv7"}) {
    EXPECT_THAT(Message(GgufOf(hybrid)),
                HasSubstr("a hybrid of RWKV and Qwen"));
  }
  EXPECT_THAT(Message(GgufWriter()), HasSubstr("general.architecture"));
}

TEST_F(GgufLayoutTest, UnknownTensorsAreNamed) {
  for (const char* name :
       {"blk.0.time_mix_decay.weight", "blk.x.attn_norm.weight",
        "blk.00.attn_norm.weight", "rope_freqs.weight"}) {
    GgufWriter writer = GgufOf("rwkv7");
    writer.Floats(name, {2}, {0, 0});
    EXPECT_THAT(
        Message(writer),
        HasSubstr(absl::StrCat("tensor \"", name, "\": is not part of rwkv7")));
  }
}

TEST_F(GgufLayoutTest, SizesMustAgreeWithTensors) {
  const auto with = [](absl::string_view key, uint32_t value) {
    GgufWriter writer = GgufOf("rwkv7");
    writer.U32(key, value);
    writer.Floats("token_embd.weight", {2, 3}, Counting(6));
    writer.Floats("blk.0.channel_mix_key.weight", {2, 4}, Counting(8));
    return writer;
  };
  EXPECT_THAT(Message(with("rwkv7.block_count", 2)),
              HasSubstr("\"rwkv7.block_count\": is 2, but the layers that have "
                        "tensors are 1"));
  EXPECT_THAT(Message(with("rwkv7.embedding_length", 3)), HasSubstr("is 3"));
  EXPECT_THAT(Message(with("rwkv7.feed_forward_length", 3)),
              HasSubstr("are 4"));
  EXPECT_TRUE(Translate(with("rwkv7.feed_forward_length", 4)).ok());
}

TEST_F(GgufLayoutTest, BadKeyValuesAreErrors) {
  GgufWriter writer = GgufOf("rwkv7");
  writer.F32("rwkv7.attention.layer_norm_epsilon", 1e-6f);
  EXPECT_THAT(Message(writer), HasSubstr("layer_norm_epsilon\": expected"));
  writer = GgufWriter();
  writer.Text("general.architecture", "rwkv7");
  EXPECT_THAT(Message(writer), HasSubstr("\"rwkv7.wkv.head_size\""));
}

TEST_F(GgufLayoutTest, BadShapesAreErrors) {
  const auto with = [](absl::string_view name, std::vector<uint64_t> dims) {
    GgufWriter writer = GgufOf("rwkv7");
    writer.Floats(name, dims, Counting(12));
    return writer;
  };
  EXPECT_THAT(Message(with("blk.0.time_mix_lerp_fused.weight", {4, 3})),
              HasSubstr("expected shape [6, 1, 1, C], got [3, 4]"));
  EXPECT_THAT(Message(with("blk.0.time_mix_w0.weight", {4, 3})),
              HasSubstr("expected a vector, got shape [3, 4]"));
  EXPECT_THAT(Message(with("blk.0.time_mix_w1.weight", {12})),
              HasSubstr("expected a matrix, stored transposed"));
  GgufWriter odd = GgufOf("rwkv7");
  odd.Floats("blk.0.time_mix_r_k.weight", {3}, Counting(3));
  EXPECT_THAT(Message(odd), HasSubstr("expected a multiple of"));
}

TEST_F(GgufLayoutTest, OnlyMatricesHaveBlocks) {
  for (const char* name : {"blk.0.time_mix_w0.weight", "output_norm.weight",
                           "blk.0.attn_norm.bias"}) {
    GgufWriter writer = GgufOf("rwkv7");
    writer.Tensor(name, {32}, kGgmlQ8_0, std::string(34, '\0'));
    EXPECT_THAT(Message(writer), HasSubstr("expected F32, F16 or BF16"))
        << name;
  }
}

}  // namespace
}  // namespace rwkvd
