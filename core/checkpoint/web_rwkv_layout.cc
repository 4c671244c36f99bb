// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/web_rwkv_layout.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

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

// Whether time_first has the shape [H, S] of versions 5.1 and 5.2, for H heads
// of S channels. [1, S] could also be a vector of version 5.0, which has no
// gate.
bool IsHeadBonus(const Tensor& time_first, bool has_gate) {
  return time_first.shape.size() == 2 && time_first.shape[1] > 1 &&
         (time_first.shape[0] > 1 || has_gate);
}

// The native name of a part; `is_version_6` is that of the checkpoint.
std::string NativePart(absl::string_view part, bool is_version_6) {
  if (part == "att.time_first") return "att.time_faaaa";
  if (is_version_6) {
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

// The part of a layer that the tensor is; "" if it is none.
std::string PartOf(const Tensor& stored) {
  const std::string name = WithNativeParts(stored.name);
  const std::optional<LayerName> split = SplitLayerName(name);
  return split.has_value() ? std::string(split->part) : "";
}

}  // namespace

WebRwkvLayout::WebRwkvLayout(absl::Span<const Tensor> stored) {
  std::vector<std::string> part_of;  // each tensor
  for (const Tensor& tensor : stored) {
    part_of.push_back(PartOf(tensor));
    if (tensor.shape.size() == 2 &&
        WithNativeParts(tensor.name) == "emb.weight") {
      channels_ = tensor.shape[1];
    }
  }
  const absl::flat_hash_set<absl::string_view> parts(part_of.begin(),
                                                     part_of.end());
  is_version_6_ =
      parts.contains("att.time_mix_w1") ||
      (parts.contains("att.time_decay_w1") && parts.contains("att.time_first"));
  for (size_t i = 0; i < stored.size(); ++i) {
    const std::string& part = part_of[i];
    if (part == "att.time_first" && parts.contains("att.ln_x.weight")) {
      has_head_bonus_ |=
          IsHeadBonus(stored[i], parts.contains("att.gate.weight"));
    }
    if (!IsLoraDown(part) && !IsLoraUp(part)) continue;
    const Orientation orientation = OrientationOf(stored[i], part, channels_);
    has_native_ |= orientation == Orientation::kNative;
    has_transposed_ |= orientation == Orientation::kTransposed;
  }
}

absl::Status WebRwkvLayout::Add(const LayerName& name, Tensor stored,
                                NativeCollector& collector) const {
  Orientation orientation = Orientation::kNative;
  if (IsLoraDown(name.part) || IsLoraUp(name.part)) {
    orientation = OrientationOf(stored, name.part, channels_);
  } else if (name.part == "att.time_state") {
    orientation = Orientation::kUnknown;  // both sides have the size of a head
  }
  if (orientation == Orientation::kUnknown) {
    if (has_native_ && has_transposed_) {
      return collector.TensorError(
          stored,
          absl::StrCat("cannot tell from the shape ", ShapeString(stored.shape),
                       " whether it is transposed, and other matrices have "
                       "both orientations"));
    }
    orientation = has_native_ ? Orientation::kNative : Orientation::kTransposed;
  }
  std::string native =
      NativeName(name.number, NativePart(name.part, is_version_6_));
  return orientation == Orientation::kTransposed
             ? collector.AddTransposed(std::move(native), stored)
             : collector.Add(std::move(native), std::move(stored));
}

}  // namespace rwkvd
