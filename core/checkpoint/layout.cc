// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/layout.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/file_error.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/embedding_norm.h"
#include "core/checkpoint/layer_parts.h"
#include "core/checkpoint/native_collector.h"
#include "core/checkpoint/stored_blocks.h"
#include "core/checkpoint/stored_name.h"
#include "core/checkpoint/web_rwkv_layout.h"

namespace rwkvd {
namespace {

// The layout that the name of one tensor shows; native if it shows none.
Layout LayoutOf(absl::string_view stored_name) {
  const std::string bare = WithoutFrameworkWords(stored_name);
  const std::string name = WithNativeParts(stored_name);
  const std::string without_prefixes = WithoutPrefixes(stored_name);
  const auto stored_split = SplitLayerName(without_prefixes);
  if (absl::StartsWith(without_prefixes, "lm_head.") ||
      (stored_split.has_value() && stored_split->layers == "layers")) {
    return Layout::kFlashLinearAttention;
  }
  const auto split = SplitLayerName(name);
  const LayerPart* const part =
      split.has_value() ? FindLayerPart(split->part) : nullptr;
  if (part != nullptr) return part->layout;
  return name == bare ? Layout::kNative : Layout::kHuggingFace;
}

Layout Recognize(absl::Span<const Tensor> stored,
                 const WebRwkvLayout& web_rwkv) {
  absl::flat_hash_set<Layout> layouts;
  for (const Tensor& tensor : stored) layouts.insert(LayoutOf(tensor.name));
  if (layouts.contains(Layout::kFlashLinearAttention)) {
    return Layout::kFlashLinearAttention;
  }
  if (web_rwkv.applies()) return Layout::kWebRwkv;
  return layouts.contains(Layout::kHuggingFace) ? Layout::kHuggingFace
                                                : Layout::kNative;
}

// Replaces the bytes of quantized matrices by views of block types.
absl::Status RestoreBlocks(std::vector<Tensor>& stored, FileError error) {
  for (Tensor& tensor : stored) {
    RWKVD_ASSIGN_OR_RETURN(tensor, FromStoredBlocks(std::move(tensor), error));
  }
  return absl::OkStatus();
}

// InvalidArgument if there are quantized matrices: of the layouts in
// safetensors and PyTorch files, only the native one has them.
absl::Status CheckHasNoBlocks(absl::Span<const Tensor> stored,
                              FileError error) {
  for (const Tensor& tensor : stored) {
    if (!IsBlockType(tensor.dtype)) continue;
    return error.In("tensor", tensor.name)(
        "expected numbers, since the names are not native, got ",
        NameOf(tensor.dtype));
  }
  return absl::OkStatus();
}

// Whether it is a LoRA adapter of fine-tuning: a matrix that must be merged
// into the weights before use.
bool IsAdapter(absl::string_view stored_name) {
  const std::string name = absl::AsciiStrToLower(stored_name);
  for (absl::string_view part : {"lora_a", "lora_b", "lora.0", "lora.1"}) {
    if (absl::StrContains(name, part)) return true;
  }
  return false;
}

absl::Status CollectTensor(Tensor stored, Layout layout,
                           const WebRwkvLayout& web_rwkv,
                           NativeCollector& collector) {
  std::string name = WithNativeParts(stored.name);
  const auto split = SplitLayerName(name);
  if (split.has_value()) {
    const LayerPart* const part = FindLayerPart(split->part);
    if (part != nullptr) {
      return AddLayerPart(*part, split->number, std::move(stored), collector);
    }
  }
  if (IsAdapter(stored.name)) {
    return collector.TensorError(stored,
                                 "is a LoRA adapter; --adapter merges it into "
                                 "the model that it was trained for");
  }
  if (split.has_value() && layout == Layout::kWebRwkv) {
    return web_rwkv.Add(*split, std::move(stored), collector);
  }
  return collector.Add(std::move(name), std::move(stored));
}

// Uses the embedding's matrix as the head if so configured and no head is
// stored.
absl::Status TieHead(const HubConfig& config, NativeCollector& collector) {
  const Tensor* embedding = collector.Find("emb.weight");
  if (!config.tie_word_embeddings || embedding == nullptr ||
      collector.Find("head.weight") != nullptr) {
    return absl::OkStatus();
  }
  return collector.Add("head.weight", Tensor(*embedding));
}

}  // namespace

absl::StatusOr<NativeTensors> ToNativeLayout(std::vector<Tensor> stored,
                                             absl::string_view path,
                                             const HubConfig& config) {
  RWKVD_RETURN_IF_ERROR(CheckNotQuantized(config, path));
  stored.erase(std::remove_if(stored.begin(), stored.end(),
                              [](const Tensor& tensor) {
                                return IsUnusedWeight(tensor.name);
                              }),
               stored.end());
  RWKVD_RETURN_IF_ERROR(RestoreBlocks(stored, FileError(path)));
  const WebRwkvLayout web_rwkv(stored);
  const Layout layout = Recognize(stored, web_rwkv);
  if (layout != Layout::kNative) {
    RWKVD_RETURN_IF_ERROR(CheckHasNoBlocks(stored, FileError(path)));
  }
  NativeCollector collector(path, stored);
  for (Tensor& tensor : stored) {
    RWKVD_RETURN_IF_ERROR(
        CollectTensor(std::move(tensor), layout, web_rwkv, collector));
  }
  RWKVD_RETURN_IF_ERROR(TieHead(config, collector));
  RWKVD_RETURN_IF_ERROR(collector.CopyScattered());
  RWKVD_ASSIGN_OR_RETURN(const bool has_embedding_norm,
                         HasEmbeddingNorm(layout, config, path, collector));
  NativeTensors native = std::move(collector).Take(layout);
  native.has_embedding_norm = has_embedding_norm;
  if (!has_embedding_norm) DropEmbeddingNorm(native.tensors);
  return native;
}

}  // namespace rwkvd
