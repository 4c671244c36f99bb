// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/embedding_norm.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "core/base/file_error.h"

namespace rwkvd {
namespace {

constexpr absl::string_view kWeight = "blocks.0.ln0.weight";
constexpr absl::string_view kBias = "blocks.0.ln0.bias";
constexpr absl::string_view kWayOut =
    "config.json must say whether the LayerNorm after the embedding has been "
    "applied to it already, with \"embedding_layer_norm_fused\"";

// Whether all elements of `tensor` have this value. Needs little memory.
bool HasOnly(const Tensor& tensor, float value) {
  constexpr int64_t kPiece = 4096;  // elements
  if (tensor.dtype == DType::kU8 || IsBlockType(tensor.dtype)) return false;
  std::vector<std::byte> elements;
  std::vector<float> values;
  const int64_t num = tensor.num_elements();
  for (int64_t first = 0; first < num; first += kPiece) {
    const int64_t piece = std::min(kPiece, num - first);
    elements.resize(piece * SizeOf(tensor.dtype));
    values.resize(piece);
    CopyElements(tensor, first, absl::MakeSpan(elements));
    ToFloat(tensor.dtype, elements, values.data());
    if (std::any_of(values.begin(), values.end(),
                    [value](float other) { return other != value; })) {
      return false;
    }
  }
  return true;
}

// Whether the stored weights are ones and the biases zeros.
bool IsNeutral(const NativeCollector& collector) {
  const Tensor* const weight = collector.Find(kWeight);
  const Tensor* const bias = collector.Find(kBias);
  return weight != nullptr && bias != nullptr && HasOnly(*weight, 1) &&
         HasOnly(*bias, 0);
}

// HasEmbeddingNorm for a checkpoint of flash-linear-attention.
absl::StatusOr<bool> HasNormFirst(const HubConfig& config,
                                  const NativeCollector& collector) {
  if (config.norm_first) return true;
  const Tensor* const norm = collector.Find(kWeight);
  if (norm == nullptr) return false;
  return collector.TensorError(
      *norm, "is stored, but config.json says \"norm_first\": false");
}

// HasEmbeddingNorm if config.json says that the LayerNorm is fused.
absl::StatusOr<bool> HasFusedNorm(const NativeCollector& collector) {
  const Tensor* const norm = collector.Find(kWeight);
  if (norm == nullptr || IsNeutral(collector)) return false;
  return collector.TensorError(
      *norm,
      "and its bias are not ones and zeros, but config.json says that this "
      "LayerNorm has been applied to the embedding already");
}

// HasEmbeddingNorm for a checkpoint of transformers whose config.json does not
// say whether the LayerNorm is fused.
absl::StatusOr<bool> HasUnmentionedNorm(absl::string_view path,
                                        const NativeCollector& collector) {
  // Only classes for version 7 fuse it.
  if (collector.Find("blocks.0.att.k_k") == nullptr) return true;
  const Tensor* const norm = collector.Find(kWeight);
  if (norm == nullptr) {
    return FileError(path)("missing tensor \"", kWeight, "\"; ", kWayOut);
  }
  if (!IsNeutral(collector)) return true;
  return collector.TensorError(
      *norm, absl::StrCat("and its bias are ones and zeros; ", kWayOut));
}

}  // namespace

absl::StatusOr<bool> HasEmbeddingNorm(Layout layout, const HubConfig& config,
                                      absl::string_view path,
                                      const NativeCollector& collector) {
  if (layout == Layout::kFlashLinearAttention) {
    return HasNormFirst(config, collector);
  }
  if (config.embedding_norm_is_fused.has_value()) {
    return *config.embedding_norm_is_fused ? HasFusedNorm(collector) : true;
  }
  if (layout != Layout::kHuggingFace) return true;
  return HasUnmentionedNorm(path, collector);
}

void DropEmbeddingNorm(std::vector<Tensor>& tensors) {
  const auto is_norm = [](const Tensor& tensor) {
    return tensor.name == kWeight || tensor.name == kBias;
  };
  tensors.erase(std::remove_if(tensors.begin(), tensors.end(), is_norm),
                tensors.end());
}

}  // namespace rwkvd
