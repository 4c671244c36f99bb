// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/gguf_names.h"

#include <cstddef>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace rwkvd {
namespace {

// More layers than any model has.
constexpr int64_t kMaxLayers = 100'000;

constexpr GgufRule kModelRules[] = {
    {"token_embd.weight", "emb.weight"},
    {"token_embd_norm.weight", "blocks.0.ln0.weight"},
    {"token_embd_norm.bias", "blocks.0.ln0.bias"},
    {"output_norm.weight", "ln_out.weight"},
    {"output_norm.bias", "ln_out.bias"},
    {"output.weight", "head.weight"},
};

// The parts of a layer, behind "blk.N.".
constexpr GgufRule kLayerRules[] = {
    {"attn_norm.weight", "ln1.weight"},
    {"attn_norm.bias", "ln1.bias"},
    {"attn_norm_2.weight", "ln2.weight"},
    {"attn_norm_2.bias", "ln2.bias"},
    {"time_mix_ln.weight", "att.ln_x.weight"},
    {"time_mix_ln.bias", "att.ln_x.bias"},
    {"time_mix_receptance.weight", "att.receptance.weight"},
    {"time_mix_key.weight", "att.key.weight"},
    {"time_mix_value.weight", "att.value.weight"},
    {"time_mix_output.weight", "att.output.weight", GgufChange::kRescale},
    {"time_mix_lerp_fused.weight", "", GgufChange::kShiftRows},
    {"channel_mix_key.weight", "ffn.key.weight"},
    {"channel_mix_value.weight", "ffn.value.weight", GgufChange::kRescale},

    {"time_mix_w0.weight", "att.w0", GgufChange::kChannels, kRwkv7},
    {"time_mix_a0.weight", "att.a0", GgufChange::kChannels, kRwkv7},
    {"time_mix_v0.weight", "att.v0", GgufChange::kChannels, kRwkv7},
    {"time_mix_w1.weight", "att.w1", GgufChange::kTranspose, kRwkv7},
    {"time_mix_a1.weight", "att.a1", GgufChange::kTranspose, kRwkv7},
    {"time_mix_v1.weight", "att.v1", GgufChange::kTranspose, kRwkv7},
    {"time_mix_g1.weight", "att.g1", GgufChange::kTranspose, kRwkv7},
    {"time_mix_w2.weight", "att.w2", GgufChange::kTranspose, kRwkv7},
    {"time_mix_a2.weight", "att.a2", GgufChange::kTranspose, kRwkv7},
    {"time_mix_v2.weight", "att.v2", GgufChange::kTranspose, kRwkv7},
    {"time_mix_g2.weight", "att.g2", GgufChange::kTranspose, kRwkv7},
    {"time_mix_k_k.weight", "att.k_k", GgufChange::kChannels, kRwkv7},
    {"time_mix_k_a.weight", "att.k_a", GgufChange::kChannels, kRwkv7},
    {"time_mix_r_k.weight", "att.r_k", GgufChange::kHeads, kRwkv7},
    {"channel_mix_lerp_k.weight", "ffn.x_k", GgufChange::kChannels, kRwkv7},

    {"time_mix_lerp_x.weight", "att.time_maa_x", GgufChange::kChannels, kRwkv6},
    {"time_mix_lerp_w.weight", "att.time_maa_w", GgufChange::kChannels, kRwkv6},
    {"time_mix_lerp_k.weight", "att.time_maa_k", GgufChange::kChannels, kRwkv6},
    {"time_mix_lerp_v.weight", "att.time_maa_v", GgufChange::kChannels, kRwkv6},
    {"time_mix_lerp_r.weight", "att.time_maa_r", GgufChange::kChannels, kRwkv6},
    {"time_mix_lerp_g.weight", "att.time_maa_g", GgufChange::kChannels, kRwkv6},
    {"time_mix_w1.weight", "att.time_maa_w1", GgufChange::kTranspose, kRwkv6},
    {"time_mix_w2.weight", "att.time_maa_w2", GgufChange::kTranspose, kRwkv6},
    {"time_mix_decay.weight", "att.time_decay", GgufChange::kChannels, kRwkv6},
    {"time_mix_decay_w1.weight", "att.time_decay_w1", GgufChange::kTranspose,
     kRwkv6},
    {"time_mix_decay_w2.weight", "att.time_decay_w2", GgufChange::kTranspose,
     kRwkv6},
    {"time_mix_first.weight", "att.time_faaaa", GgufChange::kNone, kRwkv6},
    {"time_mix_gate.weight", "att.gate.weight", GgufChange::kNone, kRwkv6},
    {"channel_mix_lerp_k.weight", "ffn.time_maa_k", GgufChange::kChannels,
     kRwkv6},
    {"channel_mix_lerp_r.weight", "ffn.time_maa_r", GgufChange::kChannels,
     kRwkv6},
    {"channel_mix_receptance.weight", "ffn.receptance.weight",
     GgufChange::kNone, kRwkv6},
};

// The rows of time_mix_lerp_fused.
constexpr absl::string_view kShifts7[] = {"att.x_r", "att.x_w", "att.x_k",
                                          "att.x_v", "att.x_a", "att.x_g"};
constexpr absl::string_view kShifts6[] = {"att.time_maa_w", "att.time_maa_k",
                                          "att.time_maa_v", "att.time_maa_r",
                                          "att.time_maa_g"};

}  // namespace

std::optional<GgufLayer> SplitGgufLayer(absl::string_view name) {
  GgufLayer layer;
  if (!absl::ConsumePrefix(&name, "blk.")) return std::nullopt;
  const size_t dot = name.find('.');
  if (dot == absl::string_view::npos) return std::nullopt;
  layer.digits = name.substr(0, dot);
  layer.part = name.substr(dot + 1);
  const bool is_plain = absl::SimpleAtoi(layer.digits, &layer.number) &&
                        layer.number >= 0 && layer.number < kMaxLayers &&
                        layer.digits == absl::StrCat(layer.number);
  if (!is_plain) return std::nullopt;
  return layer;
}

bool IsMatrix(GgufChange change) {
  return change == GgufChange::kNone || change == GgufChange::kTranspose ||
         change == GgufChange::kRescale;
}

bool IsUnusedGguf(const GgufLayer& layer, RwkvVersions version) {
  return version == kRwkv7 && layer.number == 0 &&
         (layer.part == "time_mix_v0.weight" ||
          layer.part == "time_mix_v1.weight" ||
          layer.part == "time_mix_v2.weight");
}

const GgufRule* FindModelRule(absl::string_view name) {
  for (const GgufRule& rule : kModelRules) {
    if (rule.stored == name) return &rule;
  }
  return nullptr;
}

const GgufRule* FindLayerRule(absl::string_view part, RwkvVersions version) {
  for (const GgufRule& rule : kLayerRules) {
    if (rule.stored == part && (rule.versions & version) != 0) return &rule;
  }
  return nullptr;
}

absl::Span<const absl::string_view> FusedShifts(RwkvVersions version) {
  if (version == kRwkv6) return kShifts6;
  return kShifts7;
}

}  // namespace rwkvd
