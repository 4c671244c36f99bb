// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/hugging_face_layout.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/stored_name.h"

namespace rwkvd {
namespace {

struct Renaming {
  absl::string_view stored;
  absl::string_view native;
};

constexpr Renaming kEndings[] = {
    {".time_mix_key", ".time_mix_k"},
    {".time_mix_value", ".time_mix_v"},
    {".time_mix_receptance", ".time_mix_r"},
    {".time_mix_gate", ".time_mix_g"},
};

bool IsHuggingFaceName(absl::string_view name) {
  if (absl::StartsWith(name, "rwkv.") || name == "embeddings.weight") {
    return true;
  }
  const std::optional<LayerName> split = SplitLayerName(name);
  if (!split.has_value()) return false;
  for (absl::string_view part : {"attention.", "feed_forward.", "pre_ln."}) {
    if (absl::StartsWith(split->part, part)) return true;
  }
  return false;
}

std::string NativeNameOf(absl::string_view stored) {
  const std::string name = WithNativeParts(stored);
  for (const Renaming& ending : kEndings) {
    if (absl::EndsWith(name, ending.stored)) {
      return absl::StrCat(
          absl::string_view(name).substr(0, name.size() - ending.stored.size()),
          ending.native);
    }
  }
  return name;
}

}  // namespace

bool IsHuggingFace(absl::Span<const Tensor> stored) {
  return std::any_of(stored.begin(), stored.end(), [](const Tensor& tensor) {
    return IsHuggingFaceName(tensor.name);
  });
}

absl::Status CollectHuggingFace(std::vector<Tensor> stored,
                                NativeCollector& collector) {
  for (Tensor& tensor : stored) {
    std::string name = NativeNameOf(tensor.name);
    RWKVD_RETURN_IF_ERROR(collector.Add(std::move(name), std::move(tensor)));
  }
  return absl::OkStatus();
}

}  // namespace rwkvd
