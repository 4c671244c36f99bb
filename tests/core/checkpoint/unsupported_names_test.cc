// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/unsupported_names.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

std::string NamesError(const std::vector<absl::string_view>& names) {
  const absl::Status status = CheckSupported(names, FileError("m.pth"));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

TEST(UnsupportedNamesTest, EveryKindIsNamed) {
  const std::pair<const char*, const char*> kinds[] = {
      {"blocks.0.ffn.enn.weight", "RWKV-8"},
      {"rwkv7.blocks.3.feed_forward.enn.weight", "RWKV-8"},
      {"blocks.0.rosa.weight", "RWKV-8 with ROSA"},
      {"blocks.0.ffn.s_emb.weight", "RWKV-7a or 7b"},
      {"model.layers.0.ffn.s_emb_x.weight", "RWKV-7a or 7b"},
      {"blocks.1.ffn.s0", "RWKV-7a or 7b"},
      {"blocks.0.qkv.weight", "RWKV-7b"},
      {"qkv.k1", "RWKV-7b"},
      {"blocks.0.qkv.v_emb.weight", "RWKV-7b"},
      {"model.embed_tokens.weight", "hybrid of one with RWKV"},
      {"model.layers.0.mlp.gate_proj.weight", "Qwen"},
      {"model.layers.0.self_attn.q_proj.weight", "Qwen"},
      {"model.layers.0.input_layernorm.weight", "arwkv7"},
      {"model.blocks.0.att.key.weight_packed", "compressed-tensors"},
      {"model.blocks.0.att.key.weight_global_scale", "nvfp4-pack-quantized"},
      {"blocks.0.att.key.weight.absmax", "bitsandbytes"},
      {"blocks.0.att.key.weight.quant_state.bitsandbytes__nf4", "bitsandbytes"},
      {"blocks.0.att.key.SCB", "bitsandbytes"},
      {"blocks.0.att.key.qweight", "GPTQ or AWQ"},
      {"blocks.0.att.key.qzeros", "GPTQ or AWQ"},
      {"blocks.0.att.key.g_idx", "GPTQ or AWQ"},
      {"blocks.0.att.key.weight_scale_inv", "8-bit floats"},
      {"blocks.0.att.key.biases", "MLX"},
      {"blocks.0.ffnPre.key.weight", "RWKV-4 with pre_ffn"},
      {"head_q.weight", "RWKV-4 with head_qk"},
      {"head_k.weight", "RWKV-4 with head_qk"},
      {"copy_mask", "RWKV-4 with head_qk"},
      {"blocks.1.tiny_ln.weight", "RWKV-4 with tiny attention"},
      {"pos_emb_x", "RWKV-4 with position embeddings"},
      {"blocks.0.ffn.aa.weight", "RWKV-4a or 4b"},
      {"_strategy", "rwkv Python package"},
  };
  for (const auto& [name, kind] : kinds) {
    const std::string message = NamesError({"emb.weight", name});
    EXPECT_THAT(message, HasSubstr(absl::StrCat("m.pth: tensor \"", name,
                                                "\": is not supported")));
    EXPECT_THAT(message, HasSubstr(kind));
  }
}

TEST(UnsupportedNamesTest, MostSpecificKindIsNamed) {
  EXPECT_THAT(NamesError({"blocks.0.ffn.s_emb.weight", "blocks.0.qkv.weight"}),
              HasSubstr("\"blocks.0.qkv.weight\""));
  EXPECT_THAT(
      NamesError({"a.weight_scale", "a.weight_packed", "b.weight_packed"}),
      HasSubstr("\"a.weight_packed\""));
}

TEST(UnsupportedNamesTest, SupportedNamesAreAccepted) {
  const std::vector<absl::string_view> names = {
      "emb.weight",
      "model.layers.0.attn.q_proj.weight",  // unknown, but not known as bad
      "blocks.0.att.key.weight",
      "blocks.0.att.time_maa_w1",
      "blocks.0.ffn.key.weight.int8.rows",
      "blocks.0.ffn.key.weight.scales",
      "model.layers.0.attn.w_lora.lora.2.bias",
      "model.layers.0.self_attn.time_mixer.w0",
      "rwkv.blocks.0.attention.time_mix_key",
      "head.weight"};
  EXPECT_TRUE(CheckSupported(names, FileError("m.pth")).ok());
}

}  // namespace
}  // namespace rwkvd
