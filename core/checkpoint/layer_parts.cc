// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/layer_parts.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/stored_name.h"

namespace rwkvd {
namespace {

constexpr Layout kHf = Layout::kHuggingFace;
constexpr Layout kFla = Layout::kFlashLinearAttention;

constexpr LayerPart kParts[] = {
    // Transformers, versions 4 and 5.
    {"att.time_mix_key", "att.time_mix_k", kHf},
    {"att.time_mix_value", "att.time_mix_v", kHf},
    {"att.time_mix_receptance", "att.time_mix_r", kHf},
    {"att.time_mix_gate", "att.time_mix_g", kHf},
    {"ffn.time_mix_key", "ffn.time_mix_k", kHf},
    {"ffn.time_mix_receptance", "ffn.time_mix_r", kHf},

    // Version 7 with LoRA matrices that are layers (torch.nn.Linear), which
    // store [outputs, inputs].
    {"att.w1.weight", "att.w1", kHf, Change::kTranspose},
    {"att.w2.weight", "att.w2", kHf, Change::kTranspose},
    {"att.a1.weight", "att.a1", kHf, Change::kTranspose},
    {"att.a2.weight", "att.a2", kHf, Change::kTranspose},
    {"att.v1.weight", "att.v1", kHf, Change::kTranspose},
    {"att.v2.weight", "att.v2", kHf, Change::kTranspose},
    {"att.g1.weight", "att.g1", kHf, Change::kTranspose},
    {"att.g2.weight", "att.g2", kHf, Change::kTranspose},

    // Flash-linear-attention, both versions.
    {"att.g_norm.weight", "att.ln_x.weight", kFla},
    {"att.g_norm.bias", "att.ln_x.bias", kFla},
    {"att.o_proj.weight", "att.output.weight", kFla},

    // Flash-linear-attention, version 7.
    {"att.x_x", "", kFla, Change::kShiftRows7},
    {"att.r_proj.weight", "att.receptance.weight", kFla},
    {"att.k_proj.weight", "att.key.weight", kFla},
    {"att.v_proj.weight", "att.value.weight", kFla},
    {"att.w_lora.lora.0.weight", "att.w1", kFla, Change::kTranspose},
    {"att.w_lora.lora.2.weight", "att.w2", kFla, Change::kTranspose},
    {"att.w_lora.lora.2.bias", "att.w0", kFla},
    {"att.a_lora.lora.0.weight", "att.a1", kFla, Change::kTranspose},
    {"att.a_lora.lora.2.weight", "att.a2", kFla, Change::kTranspose},
    {"att.a_lora.lora.2.bias", "att.a0", kFla},
    {"att.v_lora.lora.0.weight", "att.v1", kFla, Change::kTranspose},
    {"att.v_lora.lora.2.weight", "att.v2", kFla, Change::kTranspose},
    {"att.v_lora.lora.2.bias", "att.v0", kFla},
    {"att.g_lora.lora.0.weight", "att.g1", kFla, Change::kTranspose},
    {"att.g_lora.lora.2.weight", "att.g2", kFla, Change::kTranspose},

    // Flash-linear-attention, version 6.
    {"att.x_proj.0.mu", "att.time_maa_x", kFla},
    {"att.x_proj.0.linear.weight", "att.time_maa_w1", kFla,
     Change::kShiftDown6},
    {"att.x_proj.2.weight", "att.time_maa_w2", kFla, Change::kShiftUp6},
    {"att.x_bias", "", kFla, Change::kShiftRows6},
    {"att.r_proj.linear.weight", "att.receptance.weight", kFla},
    {"att.k_proj.linear.weight", "att.key.weight", kFla},
    {"att.v_proj.linear.weight", "att.value.weight", kFla},
    {"att.g_proj.linear.weight", "att.gate.weight", kFla},
    {"att.w_proj.linear.lora.0.weight", "att.time_decay_w1", kFla,
     Change::kTranspose},
    {"att.w_proj.linear.lora.2.weight", "att.time_decay_w2", kFla,
     Change::kTranspose},
    {"att.w_proj.linear.lora.2.bias", "att.time_decay", kFla},
    {"att.bonus", "att.time_faaaa", kFla},
    {"ffn.key.linear.weight", "ffn.key.weight", kFla},
    {"ffn.key.mu", "ffn.time_maa_k", kFla},
    {"ffn.receptance.linear.weight", "ffn.receptance.weight", kFla},
    {"ffn.receptance.mu", "ffn.time_maa_r", kFla},
};

constexpr absl::string_view kShiftNames7[] = {"x_r", "x_w", "x_k",
                                              "x_v", "x_a", "x_g"};

constexpr absl::string_view kShiftNames6[] = {
    "time_maa_r", "time_maa_w", "time_maa_k", "time_maa_v", "time_maa_g"};

// The position of each native part among the joined LoRA matrices of version
// 6's token shift. Their order is r, w, k, v, g here, and w, k, v, r, g
// natively.
constexpr int64_t kNumShifts6 = 5;
constexpr int64_t kStoredShift6[kNumShifts6] = {1, 2, 3, 0, 4};

std::vector<std::string> AttentionNames(
    absl::string_view layer, absl::Span<const absl::string_view> leaves) {
  std::vector<std::string> names;
  for (absl::string_view leaf : leaves) {
    names.push_back(NativeName(layer, absl::StrCat("att.", leaf)));
  }
  return names;
}

// `stored` with the given shape in row-major order and the data of `copy`.
Tensor Rearranged(const Tensor& stored, absl::Span<const std::byte> copy,
                  std::vector<int64_t> shape) {
  Tensor tensor = stored;
  tensor.shape = std::move(shape);
  tensor.strides.clear();
  tensor.data = copy;
  return tensor;
}

// Adds the five matrices that are joined along `dimension`, in native order:
// [5r, C], joined along 0, as [C, 5r]; [C, 5r], joined along 1, as [5, r, C].
absl::Status AddReordered(std::string name, const Tensor& stored,
                          size_t dimension, NativeCollector& collector) {
  if (!HasRank(stored, 2) || stored.shape[dimension] % kNumShifts6 != 0) {
    return collector.TensorError(
        stored,
        absl::StrCat("expected shape ", dimension == 0 ? "[5r, C]" : "[C, 5r]",
                     ", got ", ShapeString(stored.shape)));
  }
  const int64_t rank = stored.shape[dimension] / kNumShifts6;
  const int64_t channels = stored.shape[1 - dimension];
  RWKVD_ASSIGN_OR_RETURN(const absl::Span<std::byte> copy,
                         collector.NewCopy(stored));
  const size_t part_bytes = copy.size() / kNumShifts6;
  for (int64_t i = 0; i < kNumShifts6; ++i) {
    const int64_t begin = kStoredShift6[i] * rank;
    const Tensor part = Sliced(stored, dimension, begin, begin + rank);
    // In both cases the part is copied as [r, C].
    CopyElements(dimension == 0 ? part : Transposed(part, 0, 1), 0,
                 copy.subspan(i * part_bytes, part_bytes));
  }
  if (dimension == 0) {
    return collector.AddTransposed(
        std::move(name),
        Rearranged(stored, copy, {kNumShifts6 * rank, channels}));
  }
  return collector.Add(std::move(name),
                       Rearranged(stored, copy, {kNumShifts6, rank, channels}));
}

}  // namespace

const LayerPart* FindLayerPart(absl::string_view stored) {
  for (const LayerPart& part : kParts) {
    if (part.stored == stored) return &part;
  }
  return nullptr;
}

absl::Status AddLayerPart(const LayerPart& part, absl::string_view layer,
                          Tensor stored, NativeCollector& collector) {
  std::string name = NativeName(layer, part.native);
  switch (part.change) {
    case Change::kNone:
      return collector.Add(std::move(name), std::move(stored));
    case Change::kTranspose:
      return collector.AddTransposed(std::move(name), stored);
    case Change::kShiftRows7:
      return collector.AddRows(AttentionNames(layer, kShiftNames7), stored);
    case Change::kShiftRows6:
      return collector.AddRows(AttentionNames(layer, kShiftNames6), stored);
    case Change::kShiftDown6:
      return AddReordered(std::move(name), stored, 0, collector);
    case Change::kShiftUp6:
      return AddReordered(std::move(name), stored, 1, collector);
  }
  return collector.TensorError(stored, "has no native equivalent");
}

}  // namespace rwkvd
