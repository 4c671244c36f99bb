// SPDX-License-Identifier: Apache-2.0
#include "core/model/config.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/quantize/weight_kind.h"

namespace rwkvd {
namespace {

// More layers than any model has: limits what a hostile tensor name can claim.
constexpr int64_t kMaxLayers = 4096;

absl::Status Refuse(const TensorFile& file, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(file.path(), ": ", why));
}

// The tensor `name` of the time mixing of layer 0, or nullptr.
const Tensor* Att(const TensorFile& file, absl::string_view name) {
  return file.Find(absl::StrCat("blocks.0.att.", name));
}

// Whether the time mixing of layer 0 has the matrix `name`, quantized or not.
bool HasAtt(const TensorFile& file, absl::string_view name) {
  return Att(file, name) != nullptr ||
         FindQuants(file, absl::StrCat("blocks.0.att.", name)).has_value();
}

// Decides by the names of the tensors, and between 5.1 and 5.2 by a shape.
absl::StatusOr<Architecture> DeduceArchitecture(const TensorFile& file) {
  if (Att(file, "r_k") != nullptr || Att(file, "k_k") != nullptr) {
    return Architecture::kRwkv7;
  }
  if (Att(file, "time_maa_x") != nullptr) return Architecture::kRwkv6;
  const Tensor* decay = Att(file, "time_decay");
  if (decay == nullptr) {
    return Refuse(file,
                  absl::StrCat("not an RWKV checkpoint: expected a tensor "
                               "\"blocks.0.att.time_decay\" (versions 4 to 6) "
                               "or \"blocks.0.att.r_k\" (version 7) among its ",
                               file.tensors().size(), " tensors"));
  }
  if (Att(file, "ln_x.weight") == nullptr) return Architecture::kRwkv4;
  if (!HasAtt(file, "gate.weight")) return Architecture::kRwkv50;
  const bool per_channel = decay->shape.size() > 1 && decay->shape[1] > 1;
  return per_channel ? Architecture::kRwkv52 : Architecture::kRwkv51;
}

// One more than the largest N among the names "blocks.N.".
absl::StatusOr<int64_t> CountLayers(const TensorFile& file) {
  int64_t layers = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    absl::string_view rest = name;
    int64_t layer;
    if (!absl::ConsumePrefix(&rest, "blocks.")) continue;
    if (!absl::SimpleAtoi(rest.substr(0, rest.find('.')), &layer) ||
        layer < 0 || layer >= kMaxLayers) {
      return Refuse(file, absl::StrCat("tensor ", Quoted(name),
                                       ": expected a layer below ", kMaxLayers,
                                       " after \"blocks.\""));
    }
    layers = std::max(layers, layer + 1);
  }
  return layers;
}

absl::Status RefuseShape(const TensorFile& file, const Tensor& tensor,
                         absl::string_view expected) {
  return Refuse(
      file, absl::StrCat("tensor ", Quoted(tensor.name), ": expected ",
                         expected, ", got shape ", ShapeString(tensor.shape)));
}

// The size of dimension `index` of a tensor that must be a matrix.
absl::StatusOr<int64_t> MatrixSize(const TensorFile& file,
                                   absl::string_view name, size_t index) {
  const Tensor* tensor = file.Find(name);
  if (tensor == nullptr) {
    return Refuse(file, absl::StrCat("missing tensor ", Quoted(name)));
  }
  if (tensor->shape.size() != 2 || tensor->shape[index] < 1) {
    return RefuseShape(file, *tensor, "a matrix");
  }
  return tensor->shape[index];
}

// The number of rows of a matrix. If it is quantized, they fill whole panels.
absl::StatusOr<int64_t> NumRows(const TensorFile& file,
                                absl::string_view name) {
  const std::optional<StoredQuants> quants = FindQuants(file, name);
  if (!quants.has_value()) return MatrixSize(file, name, 0);
  const std::vector<int64_t>& shape = quants->tensor->shape;
  if (shape.size() != 2 || shape[0] < 1 || shape[1] < 1) {
    return RefuseShape(file, *quants->tensor,
                       "[packed blocks, bytes of a packed block]");
  }
  return shape[0] * PackedBlockRows(quants->form.type, quants->form.order);
}

// The tensor whose shape gives the number of heads, or nullptr.
const Tensor* HeadTensor(const TensorFile& file, Architecture architecture) {
  switch (architecture) {
    case Architecture::kRwkv4:
      return nullptr;
    case Architecture::kRwkv50:
    case Architecture::kRwkv51:
    case Architecture::kRwkv52:
      return Att(file, "time_decay");
    case Architecture::kRwkv6:
      return Att(file, "time_faaaa");
    case Architecture::kRwkv7:
      return Att(file, "r_k");
  }
  return nullptr;
}

// Fills num_heads and head_size. Dimensions of size 1 matter here: with one
// head, only they distinguish [1, size] from [heads].
absl::Status DeduceHeads(const TensorFile& file, ModelConfig* config) {
  const Architecture architecture = config->architecture;
  if (architecture == Architecture::kRwkv4) return absl::OkStatus();
  const Tensor* tensor = HeadTensor(file, architecture);
  if (tensor == nullptr) {
    return Refuse(file, absl::StrCat("no tensor gives the number of heads of ",
                                     NameOf(architecture)));
  }
  const bool is_flat = tensor->shape.size() < 2;
  int64_t heads = tensor->shape.empty() ? 1 : tensor->shape[0];
  if (is_flat && architecture != Architecture::kRwkv50 &&
      architecture != Architecture::kRwkv51) {
    heads = 1;  // [1, size] that lost its first dimension
  }
  const int64_t size = heads > 0 ? config->attention_size / heads : 0;
  if (heads < 1 || heads * size != config->attention_size ||
      (!is_flat && tensor->shape[1] != size && tensor->shape[1] != 1)) {
    return Refuse(file, absl::StrCat("tensor ", Quoted(tensor->name),
                                     ": expected the heads of an attention of ",
                                     config->attention_size, ", got shape ",
                                     ShapeString(tensor->shape)));
  }
  config->num_heads = heads;
  config->head_size = size;
  return absl::OkStatus();
}

// The weight type of a checkpoint with quantized weights; "" if it has none.
std::string QuantizedType(const TensorFile& file) {
  bool has_int4 = false, has_int8 = false, has_int8_head = false;
  for (const auto& [name, tensor] : file.tensors()) {
    const std::optional<ParsedQuantsName> parsed = ParseQuantsName(name);
    if (!parsed.has_value()) continue;
    if (parsed->form.type == QuantType::kInt4) {
      has_int4 = true;
    } else if (parsed->matrix == "head.weight") {
      has_int8_head = true;
    } else {
      has_int8 = true;
    }
  }
  if (has_int4 && has_int8) return "mixed";
  if (has_int4) {
    return std::string(
        NameOf(has_int8_head ? WeightKind::kInt4Mixed : WeightKind::kInt4));
  }
  if (has_int8_head) return std::string(NameOf(WeightKind::kInt8));
  return has_int8 ? std::string(NameOf(WeightKind::kInt8Mixed)) : "";
}

// The block type of most weights; "" if there is none.
std::string BlockType(const TensorFile& file) {
  std::map<DType, int64_t> elements;
  for (const auto& [name, tensor] : file.tensors()) {
    if (IsBlockType(tensor.dtype)) {
      elements[tensor.dtype] += tensor.num_elements();
    }
  }
  const auto most = std::max_element(
      elements.begin(), elements.end(),
      [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == elements.end() ? "" : std::string(NameOf(most->first));
}

std::string WeightType(const TensorFile& file) {
  std::string type = QuantizedType(file);
  if (type.empty()) type = BlockType(file);
  if (!type.empty()) return type;
  for (const auto& [name, tensor] : file.tensors()) {
    if (tensor.shape.size() != 2) continue;
    const absl::string_view own = NameOf(tensor.dtype);
    if (!type.empty() && type != own) return "mixed";
    type = std::string(own);
  }
  return type;
}

// The number of weights that a tensor of quants represents, without the padding
// of its last packed block.
int64_t CountQuants(const Tensor& tensor, const ParsedQuantsName& parsed,
                    const ModelConfig& config) {
  const QuantForm form = parsed.form;
  // WeightReader will refuse such a tensor.
  if (tensor.shape.size() != 2 || tensor.num_elements() == 0) return 0;
  const int64_t block_rows = PackedBlockRows(form.type, form.order);
  const int64_t per_byte = form.type == QuantType::kInt8 ? 1 : 2;
  int64_t rows = tensor.shape[0] * block_rows;
  if (parsed.matrix == "head.weight") {
    rows = std::min(rows, config.vocab_size);
  } else if (form.order == QuantOrder::kColumnBlocks) {
    rows = std::min(rows, config.embedding_size);
  }
  return rows * (tensor.shape[1] * per_byte / block_rows);
}

int64_t CountParameters(const TensorFile& file, const ModelConfig& config) {
  int64_t num = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    const std::optional<ParsedQuantsName> parsed = ParseQuantsName(name);
    if (parsed.has_value()) {
      num += CountQuants(tensor, *parsed, config);
    } else if (!absl::EndsWith(name, ".scales")) {
      num += tensor.num_elements();
    }
  }
  return num;
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
  ModelConfig config;
  RWKVD_ASSIGN_OR_RETURN(config.architecture, DeduceArchitecture(file));
  RWKVD_ASSIGN_OR_RETURN(config.num_layers, CountLayers(file));
  RWKVD_ASSIGN_OR_RETURN(config.vocab_size, MatrixSize(file, "emb.weight", 0));
  RWKVD_ASSIGN_OR_RETURN(config.embedding_size,
                         MatrixSize(file, "emb.weight", 1));
  RWKVD_ASSIGN_OR_RETURN(config.attention_size,
                         NumRows(file, "blocks.0.att.key.weight"));
  RWKVD_ASSIGN_OR_RETURN(config.ffn_size,
                         NumRows(file, "blocks.0.ffn.key.weight"));
  RWKVD_RETURN_IF_ERROR(DeduceHeads(file, &config));
  config.num_parameters = CountParameters(file, config);
  config.has_embedding_norm = file.has_embedding_norm();
  config.weight_type = WeightType(file);
  return config;
}

}  // namespace rwkvd
