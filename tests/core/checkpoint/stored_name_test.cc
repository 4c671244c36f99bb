// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/stored_name.h"

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(StoredNameTest, SplitsNamesOfLayers) {
  const auto split = SplitLayerName("blocks.12.att.key.weight");
  ASSERT_TRUE(split.has_value());
  EXPECT_EQ(split->layers, "blocks");
  EXPECT_EQ(split->number, "12");
  EXPECT_EQ(split->part, "att.key.weight");
  EXPECT_EQ(SplitLayerName("layers.0.x")->layers, "layers");
}

TEST(StoredNameTest, OtherNamesAreNotSplit) {
  for (const char* name :
       {"", "blocks", "blocks.", "blocks.1", "blocks..x", "blocks.-1.x",
        "blocks.1x.y", "blocksx.1.y", "emb.weight", "model.layers.0.x"}) {
    EXPECT_FALSE(SplitLayerName(name).has_value()) << name;
  }
}

TEST(StoredNameTest, OuterPartsAreRenamed) {
  const char* const kNames[][2] = {
      {"model.layers.3.attn.k_proj.weight", "blocks.3.att.k_proj.weight"},
      {"model.layers.3.self_attn.x_r", "blocks.3.att.x_r"},
      {"layers.3.attention.time_mixer.w0", "blocks.3.att.w0"},
      {"layers.3.attention.time_mixing.w0", "blocks.3.att.w0"},
      {"rwkv.blocks.0.pre_ln.bias", "blocks.0.ln0.bias"},
      {"model.layers.0.pre_norm.bias", "blocks.0.ln0.bias"},
      {"model.layers.0.attn_norm.bias", "blocks.0.ln1.bias"},
      {"model.layers.0.ffn_norm.bias", "blocks.0.ln2.bias"},
      {"rwkv.blocks.1.feed_forward.key.weight", "blocks.1.ffn.key.weight"},
      {"rwkv.embeddings.weight", "emb.weight"},
      {"model.norm.weight", "ln_out.weight"},
      {"lm_head.weight", "head.weight"},
      {"rwkv7.emb.weight", "emb.weight"},
      {"rwkv7.embeddings.weight", "emb.weight"},
      {"rwkv7.blocks.0.pre_ln.bias", "blocks.0.ln0.bias"},
      {"rwkv7.blocks.1.attention.w1", "blocks.1.att.w1"},
      {"model.blocks.0.ln0.bias", "blocks.0.ln0.bias"},
      {"model.rwkv7.ln_out.bias", "ln_out.bias"},
      {"_orig_mod.blocks.0.ln1.bias", "blocks.0.ln1.bias"},
      {"blocks.0._orig_mod.att._orig_mod.key.weight",
       "blocks.0.att.key.weight"},
      {"blocks.0._orig_mod._orig_mod._orig_mod._orig_mod.att.w0",
       "blocks.0.att.w0"},
      {"_forward_module._orig_mod.model.head.weight", "head.weight"},
      {"module.module.rwkv.embeddings.weight", "emb.weight"},
      {"net.blocks.0.att.x_r", "blocks.0.att.x_r"},
      {"net._orig_mod.module.head.weight", "head.weight"},
      {"transformer.blocks.0.ln2.bias", "blocks.0.ln2.bias"},
      {"backbone.layers.2.attn.w_lora.lora.0.weight",
       "blocks.2.att.w_lora.lora.0.weight"},
      {"state_dict.model.module.ln_out.bias", "ln_out.bias"},
      {"base_model.model.emb.weight", "emb.weight"},
      {"ema.blocks.0.ln2.bias", "ema.blocks.0.ln2.bias"},
      {"network.emb.weight", "network.emb.weight"},
      {"_fsdp_wrapped_module.blocks.1._fsdp_wrapped_module."
       "_checkpoint_wrapped_module.ffn.x_k",
       "blocks.1.ffn.x_k"},
      {"blocks.0.att.key.weight", "blocks.0.att.key.weight"},
      {"blocks.0.att.x_orig_mod.y", "blocks.0.att.x_orig_mod.y"},
      {"blocks.0.module.y", "blocks.0.module.y"},
      {"model", "model"},
      {"", ""},
      {"something.else", "something.else"},
  };
  for (const auto& [stored, native] : kNames) {
    EXPECT_EQ(WithNativeParts(stored), native);
  }
}

}  // namespace
}  // namespace rwkvd
