// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/adapter_name.h"

#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "core/checkpoint/layer_parts.h"
#include "core/checkpoint/stored_name.h"

namespace rwkvd {
namespace {

struct Suffix {
  absl::string_view text;
  AdapterPart part;
};

constexpr Suffix kSuffixes[] = {
    {".lora_A", AdapterPart::kA},
    {".lora_B", AdapterPart::kB},
    {".lora_embedding_A", AdapterPart::kEmbeddingA},
    {".lora_embedding_B", AdapterPart::kEmbeddingB},
    {".lora_magnitude_vector", AdapterPart::kMagnitude},
};

// A part of tensor names that only one kind of adapter has.
struct Marker {
  absl::string_view text;
  absl::string_view kind;
};

constexpr Marker kMarkers[] = {
    {".bone", "Bone"},       {".disha", "DiSHA"},    {".miss", "MiSS"},
    {"miss_block", "MiSS"},  {"bone_block", "Bone"}, {"init_lora_", "PiSSA"},
    {"lora_diag", "KaSA"},   {".hada_", "LoHa"},     {".lokr_", "LoKr"},
    {".ia3_", "IA3"},        {".oft_", "OFT"},       {".boft_", "BOFT"},
    {".vera_", "VeRA"},      {".hra_", "HRA"},       {".randlora_", "RandLoRA"},
    {".vblora_", "VB-LoRA"}, {".lora_E", "AdaLoRA"},
};

}  // namespace

AdapterName SplitAdapterName(absl::string_view name) {
  const std::string without_words = WithoutFrameworkWords(name);
  absl::string_view stored = without_words;
  while (absl::ConsumePrefix(&stored, "base_model.model.")) {
  }
  absl::string_view rest = stored;
  absl::ConsumeSuffix(&rest, ".weight");
  absl::ConsumeSuffix(&rest, ".default");
  for (const Suffix& suffix : kSuffixes) {
    absl::string_view module = rest;
    if (absl::ConsumeSuffix(&module, suffix.text)) {
      return {suffix.part, std::string(module)};
    }
  }
  return {AdapterPart::kWhole,
          absl::StrReplaceAll(stored, {{".modules_to_save.default.", "."},
                                       {".modules_to_save.", "."},
                                       {".base_layer.", "."}})};
}

absl::string_view OtherAdapterKind(absl::string_view stored) {
  for (const Marker& marker : kMarkers) {
    if (absl::StrContains(stored, marker.text)) return marker.kind;
  }
  return "";
}

NativePlace PlaceOf(absl::string_view stored) {
  std::string name = WithNativeParts(stored);
  const std::optional<LayerName> split = SplitLayerName(name);
  const LayerPart* const part =
      split.has_value() ? FindLayerPart(split->part) : nullptr;
  const bool is_transposed =
      part != nullptr && part->change == Change::kTranspose;
  if (part == nullptr || (part->change != Change::kNone && !is_transposed)) {
    return {std::move(name)};
  }
  return {NativeName(split->number, part->native), is_transposed};
}

}  // namespace rwkvd
