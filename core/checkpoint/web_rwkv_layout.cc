// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/web_rwkv_layout.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/stored_name.h"

namespace rwkvd {
namespace {

enum class Orientation { kUnknown, kNative, kTransposed };

// LoRA matrices come in pairs: the first, natively [C, r], projects C channels
// down to r numbers; the second, natively [r, C], projects up again. C is the
// embedding size.
bool IsLoraDown(absl::string_view part) {
  static const auto* const kParts = new absl::flat_hash_set<absl::string_view>{
      "att.time_mix_w1", "att.time_decay_w1", "att.w1", "att.a1", "att.v1",
      "att.g1"};
  return kParts->contains(part);
}

bool IsLoraUp(absl::string_view part) {
  static const auto* const kParts = new absl::flat_hash_set<absl::string_view>{
      "att.time_mix_w2", "att.time_decay_w2", "att.w2", "att.a2", "att.v2",
      "att.g2"};
  return kParts->contains(part);
}

// The orientation of a LoRA matrix, determined by the side that has C channels.
// Unknown if both sides have, or neither.
Orientation OrientationOf(const Tensor& tensor, absl::string_view part,
                          int64_t channels) {
  const size_t rank = tensor.shape.size();
  if (rank < 2) return Orientation::kUnknown;
  int64_t in = tensor.shape[rank - 2], out = tensor.shape[rank - 1];
  if (IsLoraUp(part)) std::swap(in, out);
  if ((in == channels) == (out == channels)) return Orientation::kUnknown;
  return in == channels ? Orientation::kNative : Orientation::kTransposed;
}

// Properties of a checkpoint, gathered from all its tensors.
struct Traits {
  bool is_version_6 = false;
  bool has_head_bonus = false;  // time_first stands for time_faaaa
  bool has_native = false;      // some LoRA matrix has this orientation
  bool has_transposed = false;
  int64_t channels = 0;

  bool is_web_rwkv() const {
    return is_version_6 || has_head_bonus || has_transposed;
  }
  // Whether matrices of unknown orientation are transposed; empty if the other
  // matrices have different orientations.
  std::optional<bool> others_are_transposed() const {
    if (has_native && has_transposed) return std::nullopt;
    return !has_native;
  }
};

// Whether time_first has the shape [H, S] of versions 5.1 and 5.2, for H heads
// of S channels. [1, S] could also be a vector of version 5.0, which has no
// gate.
bool IsHeadBonus(const Tensor& time_first, bool has_gate) {
  return time_first.shape.size() == 2 && time_first.shape[1] > 1 &&
         (time_first.shape[0] > 1 || has_gate);
}

Traits FindTraits(absl::Span<const Tensor> stored) {
  Traits traits;
  absl::flat_hash_set<absl::string_view> parts;
  for (const Tensor& tensor : stored) {
    if (tensor.name == "emb.weight" && tensor.shape.size() == 2) {
      traits.channels = tensor.shape[1];
    }
    if (const auto split = SplitLayerName(tensor.name)) {
      parts.insert(split->part);
    }
  }
  traits.is_version_6 =
      parts.contains("att.time_mix_w1") ||
      (parts.contains("att.time_decay_w1") && parts.contains("att.time_first"));
  for (const Tensor& tensor : stored) {
    const auto split = SplitLayerName(tensor.name);
    if (!split.has_value()) continue;
    if (split->part == "att.time_first" && parts.contains("att.ln_x.weight")) {
      traits.has_head_bonus |=
          IsHeadBonus(tensor, parts.contains("att.gate.weight"));
    }
    if (!IsLoraDown(split->part) && !IsLoraUp(split->part)) continue;
    const Orientation orientation =
        OrientationOf(tensor, split->part, traits.channels);
    traits.has_native |= orientation == Orientation::kNative;
    traits.has_transposed |= orientation == Orientation::kTransposed;
  }
  return traits;
}

std::string NativePart(absl::string_view part, const Traits& traits) {
  if (part == "att.time_first") return "att.time_faaaa";
  if (traits.is_version_6) {
    for (absl::string_view group : {"att.", "ffn."}) {
      absl::string_view rest = part;
      if (absl::ConsumePrefix(&rest, group) &&
          absl::ConsumePrefix(&rest, "time_mix_")) {
        return absl::StrCat(group, "time_maa_", rest);
      }
    }
  }
  return std::string(part);
}

absl::Status CollectTensor(Tensor stored, const Traits& traits,
                           NativeCollector& collector) {
  const std::optional<LayerName> split = SplitLayerName(stored.name);
  if (!split.has_value()) {
    std::string name = stored.name;
    return collector.Add(std::move(name), std::move(stored));
  }
  Orientation orientation = Orientation::kNative;
  if (IsLoraDown(split->part) || IsLoraUp(split->part)) {
    orientation = OrientationOf(stored, split->part, traits.channels);
  } else if (split->part == "att.time_state") {
    orientation = Orientation::kUnknown;  // both sides have the size of a head
  }
  if (orientation == Orientation::kUnknown) {
    if (!traits.others_are_transposed().has_value()) {
      return collector.TensorError(
          stored,
          absl::StrCat("cannot tell from the shape ", ShapeString(stored.shape),
                       " whether it is transposed, and other matrices have "
                       "both orientations"));
    }
    orientation = *traits.others_are_transposed() ? Orientation::kTransposed
                                                  : Orientation::kNative;
  }
  std::string name = NativeName(split->number, NativePart(split->part, traits));
  return orientation == Orientation::kTransposed
             ? collector.AddTransposed(std::move(name), stored)
             : collector.Add(std::move(name), std::move(stored));
}

}  // namespace

bool IsWebRwkv(absl::Span<const Tensor> stored) {
  return FindTraits(stored).is_web_rwkv();
}

absl::Status CollectWebRwkv(std::vector<Tensor> stored,
                            NativeCollector& collector) {
  const Traits traits = FindTraits(stored);
  for (Tensor& tensor : stored) {
    RWKVD_RETURN_IF_ERROR(CollectTensor(std::move(tensor), traits, collector));
  }
  return absl::OkStatus();
}

}  // namespace rwkvd
