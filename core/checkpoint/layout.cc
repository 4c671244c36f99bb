// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/layout.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/fla_layout.h"
#include "core/checkpoint/hugging_face_layout.h"
#include "core/checkpoint/native_collector.h"
#include "core/checkpoint/stored_name.h"
#include "core/checkpoint/web_rwkv_layout.h"

namespace rwkvd {
namespace {

Layout Recognize(absl::Span<const Tensor> stored) {
  if (IsFlashLinearAttention(stored)) return Layout::kFlashLinearAttention;
  if (IsHuggingFace(stored)) return Layout::kHuggingFace;
  if (IsWebRwkv(stored)) return Layout::kWebRwkv;
  return Layout::kNative;
}

// Whether it is an unused tensor that some files contain. Version 7 mixes the
// values of each layer with those of the first layer; the first layer itself
// does not use the weights of this mix.
bool IsUnused(absl::string_view stored_name) {
  const std::string name = WithNativeParts(stored_name);
  return name == "blocks.0.att.v0" || name == "blocks.0.att.v1" ||
         name == "blocks.0.att.v2" ||
         absl::StartsWith(name, "blocks.0.att.v_lora.");
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

absl::Status CheckNoAdapters(absl::Span<const Tensor> stored,
                             const NativeCollector& collector) {
  for (const Tensor& tensor : stored) {
    if (IsAdapter(tensor.name)) {
      return collector.TensorError(tensor,
                                   "is a LoRA adapter; merge the adapters into "
                                   "the weights with the tool "
                                   "that trained them");
    }
  }
  return absl::OkStatus();
}

absl::Status Collect(Layout layout, std::vector<Tensor> stored,
                     NativeCollector& collector) {
  if (layout == Layout::kFlashLinearAttention) {
    return CollectFlashLinearAttention(std::move(stored), collector);
  }
  RWKVD_RETURN_IF_ERROR(CheckNoAdapters(stored, collector));
  if (layout == Layout::kHuggingFace) {
    return CollectHuggingFace(std::move(stored), collector);
  }
  if (layout == Layout::kWebRwkv) {
    return CollectWebRwkv(std::move(stored), collector);
  }
  for (Tensor& tensor : stored) {
    std::string name = tensor.name;
    RWKVD_RETURN_IF_ERROR(collector.Add(std::move(name), std::move(tensor)));
  }
  return absl::OkStatus();
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

// Whether a LayerNorm follows the embedding. InvalidArgument if the tensors and
// `config` contradict each other.
absl::StatusOr<bool> HasEmbeddingNorm(Layout layout, const HubConfig& config,
                                      const NativeCollector& collector) {
  if (layout != Layout::kFlashLinearAttention || config.norm_first) return true;
  const Tensor* norm = collector.Find("blocks.0.ln0.weight");
  if (norm == nullptr) return false;
  return collector.TensorError(
      *norm, "is stored, but config.json says \"norm_first\": false");
}

}  // namespace

absl::StatusOr<NativeTensors> ToNativeLayout(std::vector<Tensor> stored,
                                             absl::string_view path,
                                             const HubConfig& config) {
  stored.erase(std::remove_if(
                   stored.begin(), stored.end(),
                   [](const Tensor& tensor) { return IsUnused(tensor.name); }),
               stored.end());
  const Layout layout = Recognize(stored);
  NativeCollector collector(path, stored);
  RWKVD_RETURN_IF_ERROR(Collect(layout, std::move(stored), collector));
  RWKVD_RETURN_IF_ERROR(TieHead(config, collector));
  RWKVD_RETURN_IF_ERROR(collector.CopyScattered());
  RWKVD_ASSIGN_OR_RETURN(const bool has_embedding_norm,
                         HasEmbeddingNorm(layout, config, collector));
  NativeTensors native = std::move(collector).Take(layout);
  native.has_embedding_norm = has_embedding_norm;
  return native;
}

}  // namespace rwkvd
