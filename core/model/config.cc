// SPDX-License-Identifier: Apache-2.0
#include "core/model/config.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

// More layers than any network has; what a hostile name may claim is bounded.
constexpr int64_t kMaxLayers = 4096;

absl::Status Refuse(const TensorFile& file, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(file.path(), ": ", why));
}

// Tensors of experimental RWKV-4 networks that compute something else.
bool ChangesTheNetwork(absl::string_view name) {
  for (absl::string_view part :
       {"ffnPre.", "head_q.", "head_k.", "copy_mask", "tiny_ln.", "tiny_q.",
        "tiny_k.", "tiny_v.", "tiny_mask", "pos_emb_x", "pos_emb_y", "ffn.aa.",
        "ffn.bb.", "att.time_state"}) {
    if (absl::StrContains(name, part)) return true;
  }
  return false;
}

// What a checkpoint that is not RWKV-4 seems to be, or "".
absl::string_view OtherVersion(const TensorFile& file) {
  if (file.Find("blocks.0.att.r_k") != nullptr) return "RWKV-7";
  if (file.Find("blocks.0.att.time_maa_x") != nullptr) return "RWKV-6";
  if (file.Find("blocks.0.att.ln_x.weight") != nullptr) return "RWKV-5";
  return "";
}

absl::Status CheckVersion(const TensorFile& file) {
  const absl::string_view other = OtherVersion(file);
  if (!other.empty()) {
    return Refuse(file, absl::StrCat("this is an ", other,
                                     " checkpoint; only RWKV-4 is supported"));
  }
  if (file.Find("blocks.0.att.time_decay") == nullptr) {
    return Refuse(file,
                  "not an RWKV-4 checkpoint: there is no tensor "
                  "\"blocks.0.att.time_decay\"");
  }
  for (const auto& [name, tensor] : file.tensors()) {
    if (ChangesTheNetwork(name)) {
      return Refuse(file, absl::StrCat("tensor \"", name,
                                       "\" belongs to a variant of RWKV-4 "
                                       "that is not supported"));
    }
  }
  return absl::OkStatus();
}

// One more than the largest N of the names "blocks.N.".
absl::StatusOr<int64_t> CountLayers(const TensorFile& file) {
  int64_t layers = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    absl::string_view rest = name;
    int64_t layer;
    if (!absl::ConsumePrefix(&rest, "blocks.")) continue;
    if (!absl::SimpleAtoi(rest.substr(0, rest.find('.')), &layer) ||
        layer < 0 || layer >= kMaxLayers) {
      return Refuse(
          file, absl::StrCat("tensor \"", name, "\": expected a layer below ",
                             kMaxLayers, " after \"blocks.\""));
    }
    layers = std::max(layers, layer + 1);
  }
  return layers;
}

// Size of dimension `index` of a tensor that must be a matrix.
absl::StatusOr<int64_t> MatrixSize(const TensorFile& file,
                                   absl::string_view name, size_t index) {
  const Tensor* tensor = file.Find(name);
  if (tensor == nullptr) {
    return Refuse(file, absl::StrCat("missing tensor \"", name, "\""));
  }
  if (tensor->shape.size() != 2 || tensor->shape[index] < 1) {
    return Refuse(file, absl::StrCat("tensor \"", name,
                                     "\": expected a matrix, got shape ",
                                     ShapeString(tensor->shape)));
  }
  return tensor->shape[index];
}

std::string WeightType(const TensorFile& file) {
  std::string type;
  for (const auto& [name, tensor] : file.tensors()) {
    if (tensor.shape.size() != 2) continue;
    const absl::string_view own = NameOf(tensor.dtype);
    if (!type.empty() && type != own) return "mixed";
    type = std::string(own);
  }
  return type;
}

}  // namespace

absl::string_view NameOf(Architecture architecture) {
  switch (architecture) {
    case Architecture::kRwkv4:
      return "rwkv4";
    case Architecture::kRwkv50:
      return "rwkv5.0";
    case Architecture::kRwkv51:
      return "rwkv5.1";
    case Architecture::kRwkv52:
      return "rwkv5.2";
    case Architecture::kRwkv6:
      return "rwkv6";
    case Architecture::kRwkv7:
      return "rwkv7";
  }
  return "?";
}

absl::StatusOr<ModelConfig> DeduceConfig(const TensorFile& file) {
  RWKVD_RETURN_IF_ERROR(CheckVersion(file));
  ModelConfig config;
  RWKVD_ASSIGN_OR_RETURN(config.num_layers, CountLayers(file));
  RWKVD_ASSIGN_OR_RETURN(config.vocab_size, MatrixSize(file, "emb.weight", 0));
  RWKVD_ASSIGN_OR_RETURN(config.embedding_size,
                         MatrixSize(file, "emb.weight", 1));
  RWKVD_ASSIGN_OR_RETURN(config.attention_size,
                         MatrixSize(file, "blocks.0.att.key.weight", 0));
  RWKVD_ASSIGN_OR_RETURN(config.ffn_size,
                         MatrixSize(file, "blocks.0.ffn.key.weight", 0));
  for (const auto& [name, tensor] : file.tensors()) {
    config.num_parameters += tensor.num_elements();
  }
  config.weight_type = WeightType(file);
  return config;
}

}  // namespace rwkvd
