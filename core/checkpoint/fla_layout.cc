// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/fla_layout.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/stored_name.h"

namespace rwkvd {
namespace {

// The change that turns a stored tensor into the native one. C is the embedding
// size, r the rank.
enum class Change {
  kNone,
  kTranspose,
  kShiftRows7,  // [6, C] -> six vectors
  kShiftRows6,  // [5, C] -> five vectors
  kShiftDown6,  // [5r, C] -> [C, 5r], parts in another order
  kShiftUp6,    // [C, 5r] -> [5, r, C], parts in another order
};

struct Rule {
  absl::string_view stored;
  absl::string_view native;
  Change change = Change::kNone;
};

// The parts of a layer after WithNativeParts, and their native names.
constexpr Rule kRules[] = {
    // Both versions.
    {"att.g_norm.weight", "att.ln_x.weight"},
    {"att.g_norm.bias", "att.ln_x.bias"},
    {"att.o_proj.weight", "att.output.weight"},
    {"ffn.value.weight", "ffn.value.weight"},

    // Version 7.
    {"att.x_x", "", Change::kShiftRows7},
    {"att.r_proj.weight", "att.receptance.weight"},
    {"att.k_proj.weight", "att.key.weight"},
    {"att.v_proj.weight", "att.value.weight"},
    {"att.w_lora.lora.0.weight", "att.w1", Change::kTranspose},
    {"att.w_lora.lora.2.weight", "att.w2", Change::kTranspose},
    {"att.w_lora.lora.2.bias", "att.w0"},
    {"att.a_lora.lora.0.weight", "att.a1", Change::kTranspose},
    {"att.a_lora.lora.2.weight", "att.a2", Change::kTranspose},
    {"att.a_lora.lora.2.bias", "att.a0"},
    {"att.v_lora.lora.0.weight", "att.v1", Change::kTranspose},
    {"att.v_lora.lora.2.weight", "att.v2", Change::kTranspose},
    {"att.v_lora.lora.2.bias", "att.v0"},
    {"att.g_lora.lora.0.weight", "att.g1", Change::kTranspose},
    {"att.g_lora.lora.2.weight", "att.g2", Change::kTranspose},
    {"ffn.key.weight", "ffn.key.weight"},

    // Version 6.
    {"att.x_proj.0.mu", "att.time_maa_x"},
    {"att.x_proj.0.linear.weight", "att.time_maa_w1", Change::kShiftDown6},
    {"att.x_proj.2.weight", "att.time_maa_w2", Change::kShiftUp6},
    {"att.x_bias", "", Change::kShiftRows6},
    {"att.r_proj.linear.weight", "att.receptance.weight"},
    {"att.k_proj.linear.weight", "att.key.weight"},
    {"att.v_proj.linear.weight", "att.value.weight"},
    {"att.g_proj.linear.weight", "att.gate.weight"},
    {"att.w_proj.linear.lora.0.weight", "att.time_decay_w1",
     Change::kTranspose},
    {"att.w_proj.linear.lora.2.weight", "att.time_decay_w2",
     Change::kTranspose},
    {"att.w_proj.linear.lora.2.bias", "att.time_decay"},
    {"att.bonus", "att.time_faaaa"},
    {"ffn.key.linear.weight", "ffn.key.weight"},
    {"ffn.key.mu", "ffn.time_maa_k"},
    {"ffn.receptance.linear.weight", "ffn.receptance.weight"},
    {"ffn.receptance.mu", "ffn.time_maa_r"},
};

// Parts of version 7 with native name and orientation, in files of the library
// itself or of some converters.
constexpr absl::string_view kNativeParts[] = {
    "att.x_r",
    "att.x_w",
    "att.x_k",
    "att.x_v",
    "att.x_a",
    "att.x_g",
    "att.w0",
    "att.w1",
    "att.w2",
    "att.a0",
    "att.a1",
    "att.a2",
    "att.v0",
    "att.v1",
    "att.v2",
    "att.g1",
    "att.g2",
    "att.k_k",
    "att.k_a",
    "att.r_k",
    "ffn.x_k",
    "att.receptance.weight",
    "att.key.weight",
    "att.value.weight",
    "att.output.weight",
    "att.ln_x.weight",
    "att.ln_x.bias",
    "att.time_state",
    "ln0.weight",
    "ln0.bias",
    "ln1.weight",
    "ln1.bias",
    "ln2.weight",
    "ln2.bias",
};

constexpr absl::string_view kNativeNames[] = {"emb.weight", "head.weight",
                                              "ln_out.weight", "ln_out.bias"};

constexpr absl::string_view kShiftNames7[] = {"x_r", "x_w", "x_k",
                                              "x_v", "x_a", "x_g"};

constexpr absl::string_view kShiftNames6[] = {
    "time_maa_r", "time_maa_w", "time_maa_k", "time_maa_v", "time_maa_g"};

// The position of each native part among the joined LoRA matrices of version
// 6's token shift. Their order is r, w, k, v, g here, and w, k, v, r, g
// natively.
constexpr int64_t kNumShifts6 = 5;
constexpr int64_t kStoredShift6[kNumShifts6] = {1, 2, 3, 0, 4};

template <size_t N>
bool Contains(const absl::string_view (&names)[N], absl::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

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

absl::Status Apply(const Rule& rule, absl::string_view layer, Tensor stored,
                   NativeCollector& collector) {
  std::string name = NativeName(layer, rule.native);
  switch (rule.change) {
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

absl::Status CollectTensor(Tensor stored, NativeCollector& collector) {
  const std::string name = WithNativeParts(stored.name);
  const std::optional<LayerName> split = SplitLayerName(name);
  if (split.has_value()) {
    for (const Rule& rule : kRules) {
      if (rule.stored == split->part) {
        return Apply(rule, split->number, std::move(stored), collector);
      }
    }
  }
  if (split.has_value() ? Contains(kNativeParts, split->part)
                        : Contains(kNativeNames, name)) {
    return collector.Add(name, std::move(stored));
  }
  return collector.TensorError(
      stored, "is not part of RWKV-6 or RWKV-7 in flash-linear-attention");
}

bool IsFlashLinearAttentionName(absl::string_view name) {
  if (absl::StartsWith(name, "lm_head.")) return true;
  const bool in_model = absl::ConsumePrefix(&name, "model.");
  if (in_model && name == "embeddings.weight") return true;
  const std::optional<LayerName> split = SplitLayerName(name);
  return split.has_value() && (in_model || split->layers == "layers");
}

}  // namespace

bool IsFlashLinearAttention(absl::Span<const Tensor> stored) {
  return std::any_of(stored.begin(), stored.end(), [](const Tensor& tensor) {
    return IsFlashLinearAttentionName(tensor.name);
  });
}

absl::Status CollectFlashLinearAttention(std::vector<Tensor> stored,
                                         NativeCollector& collector) {
  for (Tensor& tensor : stored) {
    RWKVD_RETURN_IF_ERROR(CollectTensor(std::move(tensor), collector));
  }
  return absl::OkStatus();
}

}  // namespace rwkvd
