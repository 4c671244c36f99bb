// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/stored_name.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"

namespace rwkvd {
namespace {

struct Renaming {
  absl::string_view stored;
  absl::string_view native;
};

// Frameworks add these before the whole name.
constexpr absl::string_view kFrameworkPrefixes[] = {
    "module.", "_forward_module.", "_orig_mod.", "_fsdp_wrapped_module.",
    "_checkpoint_wrapped_module."};
// Frameworks add these between any two parts of a name.
constexpr std::pair<absl::string_view, absl::string_view> kFrameworkWords[] = {
    {"._orig_mod.", "."},
    {"._fsdp_wrapped_module.", "."},
    {"._checkpoint_wrapped_module.", "."}};

// What classes with a head call the model without it, and what trainers call
// their whole model, or the dict that they save it in. In the first case, the
// head has no such prefix.
constexpr absl::string_view kModelPrefixes[] = {
    "model.", "rwkv.",        "rwkv5.",    "rwkv6.",      "rwkv7.",
    "net.",   "transformer.", "backbone.", "base_model.", "state_dict."};

constexpr Renaming kModelParts[] = {
    {"embeddings.", "emb."},
    {"lm_head.", "head."},
    {"norm.", "ln_out."},
};

constexpr Renaming kLayerParts[] = {
    {"pre_ln.", "ln0."},    {"pre_norm.", "ln0."},     {"attn_norm.", "ln1."},
    {"ffn_norm.", "ln2."},  {"attention.", "att."},    {"attn.", "att."},
    {"self_attn.", "att."}, {"feed_forward.", "ffn."},
};

// `name` with its start replaced as the first matching renaming says.
std::string Renamed(absl::string_view name,
                    absl::Span<const Renaming> renamings) {
  for (const Renaming& renaming : renamings) {
    if (absl::ConsumePrefix(&name, renaming.stored)) {
      return absl::StrCat(renaming.native, name);
    }
  }
  return std::string(name);
}

// Removes one of `prefixes` from `*name`. Returns whether there was one.
bool ConsumeAnyPrefix(absl::string_view* name,
                      absl::Span<const absl::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [name](absl::string_view prefix) {
                       return absl::ConsumePrefix(name, prefix);
                     });
}

}  // namespace

std::optional<LayerName> SplitLayerName(absl::string_view name) {
  LayerName split;
  for (absl::string_view layers : {"blocks", "layers"}) {
    if (absl::StartsWith(name, layers)) split.layers = layers;
  }
  if (split.layers.empty()) return std::nullopt;
  name.remove_prefix(split.layers.size());
  if (!absl::ConsumePrefix(&name, ".")) return std::nullopt;
  size_t digits = 0;
  while (digits < name.size() && absl::ascii_isdigit(name[digits])) ++digits;
  split.number = name.substr(0, digits);
  split.part = name.substr(digits);
  if (digits == 0 || !absl::ConsumePrefix(&split.part, ".")) {
    return std::nullopt;
  }
  return split;
}

std::string NativeName(absl::string_view layer, absl::string_view part) {
  return absl::StrCat("blocks.", layer, ".", part);
}

std::string WithoutFrameworkWords(absl::string_view name) {
  while (ConsumeAnyPrefix(&name, kFrameworkPrefixes)) {
  }
  std::string result(name);
  // Of adjacent words, one pass removes every other one.
  while (absl::StrReplaceAll(absl::MakeConstSpan(kFrameworkWords), &result) >
         0) {
  }
  return result;
}

std::string WithoutPrefixes(absl::string_view stored) {
  const std::string without_words = WithoutFrameworkWords(stored);
  absl::string_view name = without_words;
  while (ConsumeAnyPrefix(&name, kFrameworkPrefixes) ||
         ConsumeAnyPrefix(&name, kModelPrefixes)) {
  }
  return std::string(name);
}

std::string WithNativeParts(absl::string_view stored) {
  const std::string name = WithoutPrefixes(stored);
  const std::optional<LayerName> split = SplitLayerName(name);
  if (!split.has_value()) return Renamed(name, kModelParts);
  const std::string part = Renamed(split->part, kLayerParts);
  absl::string_view leaf = part;
  // Some libraries have another level in between.
  if (absl::ConsumePrefix(&leaf, "att.time_mixing.") ||
      absl::ConsumePrefix(&leaf, "att.time_mixer.")) {
    return NativeName(split->number, absl::StrCat("att.", leaf));
  }
  return NativeName(split->number, part);
}

bool IsUnusedWeight(absl::string_view stored) {
  const std::string name = WithNativeParts(stored);
  absl::string_view part = name;
  if (!absl::ConsumePrefix(&part, "blocks.0.att.")) return false;
  if (absl::StartsWith(part, "v_lora.")) return true;
  absl::ConsumeSuffix(&part, ".weight");
  return part == "v0" || part == "v1" || part == "v2";
}

}  // namespace rwkvd
