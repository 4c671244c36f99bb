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

enum class Direction { kUnclear, kNative, kTransposed };

// LoRA matrices come in pairs: the first, natively [C, r], takes a row of C
// channels down to r numbers, the second, [r, C], up again. C: embedding size.
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

// Which way a LoRA matrix lies, by the side of C channels. Unclear if both
// sides are, or neither.
Direction DirectionOf(const Tensor& tensor, absl::string_view part,
                      int64_t channels) {
  const size_t rank = tensor.shape.size();
  if (rank < 2) return Direction::kUnclear;
  int64_t in = tensor.shape[rank - 2], out = tensor.shape[rank - 1];
  if (IsLoraUp(part)) std::swap(in, out);
  if ((in == channels) == (out == channels)) return Direction::kUnclear;
  return in == channels ? Direction::kNative : Direction::kTransposed;
}

// What the tensors of a checkpoint say together.
struct Signs {
  bool is_version_6 = false;
  bool has_head_bonus = false;  // time_first is what is natively time_faaaa
  bool has_native = false;      // LoRA matrices of either direction
  bool has_transposed = false;
  int64_t channels = 0;

  bool is_web_rwkv() const {
    return is_version_6 || has_head_bonus || has_transposed;
  }
  // Of matrices whose shape does not tell; nothing if the others disagree.
  std::optional<bool> others_are_transposed() const {
    if (has_native && has_transposed) return std::nullopt;
    return !has_native;
  }
};

// Versions 5.1 and 5.2 store time_first as [H, S], for H heads of S channels.
// [1, S] could also be a vector, but for the gate, which version 5.0 lacks.
bool IsHeadBonus(const Tensor& time_first, bool has_gate) {
  return time_first.shape.size() == 2 && time_first.shape[1] > 1 &&
         (time_first.shape[0] > 1 || has_gate);
}

Signs ReadSigns(absl::Span<const Tensor> stored) {
  Signs signs;
  absl::flat_hash_set<absl::string_view> parts;
  for (const Tensor& tensor : stored) {
    if (tensor.name == "emb.weight" && tensor.shape.size() == 2) {
      signs.channels = tensor.shape[1];
    }
    if (const auto split = SplitLayerName(tensor.name)) {
      parts.insert(split->part);
    }
  }
  signs.is_version_6 =
      parts.contains("att.time_mix_w1") ||
      (parts.contains("att.time_decay_w1") && parts.contains("att.time_first"));
  for (const Tensor& tensor : stored) {
    const auto split = SplitLayerName(tensor.name);
    if (!split.has_value()) continue;
    if (split->part == "att.time_first" && parts.contains("att.ln_x.weight")) {
      signs.has_head_bonus |=
          IsHeadBonus(tensor, parts.contains("att.gate.weight"));
    }
    if (!IsLoraDown(split->part) && !IsLoraUp(split->part)) continue;
    const Direction direction =
        DirectionOf(tensor, split->part, signs.channels);
    signs.has_native |= direction == Direction::kNative;
    signs.has_transposed |= direction == Direction::kTransposed;
  }
  return signs;
}

std::string NativePart(absl::string_view part, const Signs& signs) {
  if (part == "att.time_first") return "att.time_faaaa";
  if (signs.is_version_6) {
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

absl::Status CollectOne(Tensor stored, const Signs& signs,
                        NativeCollector& collector) {
  const std::optional<LayerName> split = SplitLayerName(stored.name);
  if (!split.has_value()) {
    std::string name = stored.name;
    return collector.Add(std::move(name), std::move(stored));
  }
  Direction direction = Direction::kNative;
  if (IsLoraDown(split->part) || IsLoraUp(split->part)) {
    direction = DirectionOf(stored, split->part, signs.channels);
  } else if (split->part == "att.time_state") {
    direction = Direction::kUnclear;  // both sides are a head
  }
  if (direction == Direction::kUnclear) {
    if (!signs.others_are_transposed().has_value()) {
      return collector.Refuse(
          stored, absl::StrCat("shape ", ShapeString(stored.shape),
                               " does not tell whether it is transposed, and "
                               "other matrices lie either way"));
    }
    direction = *signs.others_are_transposed() ? Direction::kTransposed
                                               : Direction::kNative;
  }
  std::string name = NativeName(split->number, NativePart(split->part, signs));
  return direction == Direction::kTransposed
             ? collector.AddTransposed(std::move(name), stored)
             : collector.Add(std::move(name), std::move(stored));
}

}  // namespace

bool IsWebRwkv(absl::Span<const Tensor> stored) {
  return ReadSigns(stored).is_web_rwkv();
}

absl::Status CollectWebRwkv(std::vector<Tensor> stored,
                            NativeCollector& collector) {
  const Signs signs = ReadSigns(stored);
  for (Tensor& tensor : stored) {
    RWKVD_RETURN_IF_ERROR(CollectOne(std::move(tensor), signs, collector));
  }
  return absl::OkStatus();
}

}  // namespace rwkvd
