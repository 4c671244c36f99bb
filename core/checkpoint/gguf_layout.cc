// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/gguf_layout.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file_error.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/gguf_names.h"
#include "core/checkpoint/gguf_rescale.h"
#include "core/checkpoint/gguf_values.h"
#include "core/checkpoint/native_collector.h"
#include "core/checkpoint/stored_name.h"

namespace rwkvd {
namespace {

constexpr absl::string_view kArchitectureKey = "general.architecture";

// `tensor` with another shape, row-major.
Tensor Reshaped(Tensor tensor, std::vector<int64_t> shape) {
  tensor.shape = std::move(shape);
  tensor.strides.clear();
  return tensor;
}

// Translates the tensors of one file. Used once.
class Translator {
 public:
  Translator(const GgufValues& values, absl::Span<const Tensor> stored)
      : values_(values),
        error_(values.path()),
        collector_(values.path(), stored) {}

  absl::StatusOr<NativeTensors> Run(std::vector<Tensor> stored) &&;

 private:
  absl::Status ReadArchitecture();
  absl::Status ReadSizes();
  absl::Status CheckSizes();
  absl::Status Collect(Tensor stored);
  // InvalidArgument if the tensor has a block type.
  absl::Status CheckHasNoBlocks(const Tensor& stored) const;
  absl::Status Apply(const GgufRule& rule, const GgufLayer& layer,
                     Tensor stored);
  absl::Status AddChannels(std::string name, const Tensor& stored);
  absl::Status AddHeads(std::string name, const Tensor& stored);
  absl::Status AddShiftRows(absl::string_view layer, const Tensor& stored);
  absl::Status AddRescaled(std::string name, int64_t layer, Tensor stored);
  // A size, the value of the architecture's key `name`; 0 if there is none.
  absl::StatusOr<int64_t> Size(absl::string_view name) const;
  absl::Status CheckSize(absl::string_view name, absl::string_view what,
                         int64_t actual) const;
  std::string Key(absl::string_view name) const {
    return absl::StrCat(architecture_, ".", name);
  }

  const GgufValues& values_;
  const FileError error_;
  NativeCollector collector_;
  std::string architecture_;
  RwkvVersions version_ = kRwkv7;
  int64_t head_size_ = 0;
  int64_t rescale_every_ = 0;  // layers; 0: never
  int64_t num_layers_ = 0;
};

absl::Status Translator::ReadArchitecture() {
  RWKVD_ASSIGN_OR_RETURN(const auto architecture,
                         values_.Text(kArchitectureKey));
  if (!architecture.has_value()) {
    return error_("expected the key ", Quoted(kArchitectureKey));
  }
  architecture_ = std::string(*architecture);
  if (architecture_ == "rwkv6" || architecture_ == "rwkv7") {
    version_ = architecture_ == "rwkv6" ? kRwkv6 : kRwkv7;
    return absl::OkStatus();
  }
  const bool is_hybrid =
      architecture_ == "rwkv6qwen2" || architecture_ == "arwkv7";
  return error_.In("key", kArchitectureKey)(
      "expected \"rwkv6\" or \"rwkv7\", got ", Quoted(architecture_),
      is_hybrid ? ", a hybrid of RWKV and Qwen, which is not supported" : "");
}

absl::StatusOr<int64_t> Translator::Size(absl::string_view name) const {
  RWKVD_ASSIGN_OR_RETURN(const std::optional<int64_t> size,
                         values_.Integer(Key(name)));
  return size.value_or(0);
}

absl::Status Translator::ReadSizes() {
  RWKVD_ASSIGN_OR_RETURN(head_size_, Size("wkv.head_size"));
  if (head_size_ == 0) {
    return error_.In("key", Key("wkv.head_size"))("expected at least 1");
  }
  if (version_ == kRwkv6) {
    RWKVD_ASSIGN_OR_RETURN(rescale_every_, Size("rescale_every_n_layers"));
  }
  constexpr double kEpsilon = 1e-5, kTolerance = 1e-9;
  const std::string key = Key("attention.layer_norm_epsilon");
  RWKVD_ASSIGN_OR_RETURN(const std::optional<double> epsilon,
                         values_.Real(key));
  if (epsilon.has_value() && !(std::abs(*epsilon - kEpsilon) <= kTolerance)) {
    return error_.In("key", key)("expected ", kEpsilon, ", got ", *epsilon);
  }
  return absl::OkStatus();
}

// Checks that the size `name`, if the file states it, is that of the tensors.
absl::Status Translator::CheckSize(absl::string_view name,
                                   absl::string_view what,
                                   int64_t actual) const {
  RWKVD_ASSIGN_OR_RETURN(const int64_t stated, Size(name));
  if (stated == 0 || stated == actual) return absl::OkStatus();
  return error_.In("key", Key(name))("is ", stated, ", but ", what, " are ",
                                     actual);
}

absl::Status Translator::CheckSizes() {
  const auto size = [&](absl::string_view name, size_t dimension) {
    const Tensor* const tensor = collector_.Find(name);
    return tensor != nullptr && tensor->shape.size() == 2
               ? tensor->shape[dimension]
               : int64_t{0};
  };
  RWKVD_RETURN_IF_ERROR(
      CheckSize("block_count", "the layers that have tensors", num_layers_));
  RWKVD_RETURN_IF_ERROR(CheckSize("embedding_length",
                                  "the columns of token_embd.weight",
                                  size("emb.weight", 1)));
  return CheckSize("feed_forward_length",
                   "the rows of blk.0.channel_mix_key.weight",
                   size("blocks.0.ffn.key.weight", 0));
}

absl::Status Translator::AddChannels(std::string name, const Tensor& stored) {
  const int64_t channels = stored.num_elements();
  if (channels != stored.shape.back() && channels != stored.shape.front()) {
    return collector_.TensorError(stored,
                                  absl::StrCat("expected a vector, got shape ",
                                               ShapeString(stored.shape)));
  }
  return collector_.Add(std::move(name), Reshaped(stored, {1, 1, channels}));
}

absl::Status Translator::AddHeads(std::string name, const Tensor& stored) {
  const int64_t channels = stored.num_elements();
  if (channels % head_size_ != 0) {
    return collector_.TensorError(
        stored, absl::StrCat("expected a multiple of ", Key("wkv.head_size"),
                             ", which is ", head_size_, ", got shape ",
                             ShapeString(stored.shape)));
  }
  return collector_.Add(std::move(name),
                        Reshaped(stored, {channels / head_size_, head_size_}));
}

absl::Status Translator::AddShiftRows(absl::string_view layer,
                                      const Tensor& stored) {
  const absl::Span<const absl::string_view> parts = FusedShifts(version_);
  const int64_t rows = static_cast<int64_t>(parts.size());
  const int64_t channels = stored.shape.back();
  if (stored.num_elements() != rows * channels) {
    return collector_.TensorError(
        stored, absl::StrCat("expected shape [", rows, ", 1, 1, C], got ",
                             ShapeString(stored.shape)));
  }
  const Tensor matrix = Reshaped(stored, {rows, channels});
  for (int64_t i = 0; i < rows; ++i) {
    RWKVD_RETURN_IF_ERROR(
        AddChannels(NativeName(layer, parts[i]), Sliced(matrix, 0, i, i + 1)));
  }
  return absl::OkStatus();
}

absl::Status Translator::AddRescaled(std::string name, int64_t layer,
                                     Tensor stored) {
  const int64_t halvings = rescale_every_ == 0 ? 0 : layer / rescale_every_;
  RWKVD_ASSIGN_OR_RETURN(
      Tensor tensor,
      WithoutHalvings(std::move(stored), halvings,
                      Key("rescale_every_n_layers"), collector_));
  return collector_.Add(std::move(name), std::move(tensor));
}

absl::Status Translator::Apply(const GgufRule& rule, const GgufLayer& layer,
                               Tensor stored) {
  if (!IsMatrix(rule.change)) RWKVD_RETURN_IF_ERROR(CheckHasNoBlocks(stored));
  std::string name = NativeName(layer.digits, rule.native);
  switch (rule.change) {
    case GgufChange::kNone:
      return collector_.Add(std::move(name), std::move(stored));
    case GgufChange::kChannels:
      return AddChannels(std::move(name), stored);
    case GgufChange::kHeads:
      return AddHeads(std::move(name), stored);
    case GgufChange::kTranspose:
      return collector_.AddTransposed(std::move(name), stored);
    case GgufChange::kShiftRows:
      return AddShiftRows(layer.digits, stored);
    case GgufChange::kRescale:
      return AddRescaled(std::move(name), layer.number, std::move(stored));
  }
  return absl::OkStatus();
}

absl::Status Translator::CheckHasNoBlocks(const Tensor& stored) const {
  if (!IsBlockType(stored.dtype)) return absl::OkStatus();
  return collector_.TensorError(
      stored,
      absl::StrCat("expected F32, F16 or BF16, for it is no matrix, got ",
                   NameOf(stored.dtype)));
}

absl::Status Translator::Collect(Tensor stored) {
  if (stored.shape.size() != 2) {
    RWKVD_RETURN_IF_ERROR(CheckHasNoBlocks(stored));
  }
  if (const GgufRule* const rule = FindModelRule(stored.name)) {
    return collector_.Add(std::string(rule->native), std::move(stored));
  }
  const std::string name = stored.name;
  if (const std::optional<GgufLayer> layer = SplitGgufLayer(name)) {
    num_layers_ = std::max(num_layers_, layer->number + 1);
    if (IsUnusedGguf(*layer, version_)) return absl::OkStatus();
    const GgufRule* const rule = FindLayerRule(layer->part, version_);
    if (rule != nullptr) return Apply(*rule, *layer, std::move(stored));
  }
  return collector_.TensorError(stored,
                                absl::StrCat("is not part of ", architecture_));
}

absl::StatusOr<NativeTensors> Translator::Run(std::vector<Tensor> stored) && {
  RWKVD_RETURN_IF_ERROR(ReadArchitecture());
  RWKVD_RETURN_IF_ERROR(ReadSizes());
  for (Tensor& tensor : stored) {
    RWKVD_RETURN_IF_ERROR(Collect(std::move(tensor)));
  }
  RWKVD_RETURN_IF_ERROR(CheckSizes());
  return std::move(collector_).Take(Layout::kGguf);
}

}  // namespace

absl::StatusOr<NativeTensors> GgufToNativeLayout(Gguf gguf) {
  Translator translator(gguf.values, gguf.tensors);
  return std::move(translator).Run(std::move(gguf.tensors));
}

}  // namespace rwkvd
