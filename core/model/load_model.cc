// SPDX-License-Identifier: Apache-2.0
#include "core/model/load_model.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/model/config.h"
#include "core/model/rwkv4.h"
#include "core/model/rwkv5.h"
#include "core/model/rwkv6.h"
#include "core/model/rwkv7.h"
#include "core/model/weight_reader.h"
#include "core/quantize/weight_kind.h"

namespace rwkvd {
namespace {

// Takes the weights of the model from `reader`, which reads `file`.
absl::StatusOr<std::unique_ptr<const LayeredModel>> LoadVersion(
    const ModelConfig& config, const ModelOptions& options,
    std::shared_ptr<const TensorFile> file, WeightReader& reader) {
  switch (config.architecture) {
    case Architecture::kRwkv4:
      return LoadRwkv4(config, options, std::move(file), reader);
    case Architecture::kRwkv50:
    case Architecture::kRwkv51:
    case Architecture::kRwkv52:
      return LoadRwkv5(config, options, std::move(file), reader);
    case Architecture::kRwkv6:
      return LoadRwkv6(config, options, std::move(file), reader);
    case Architecture::kRwkv7:
      return LoadRwkv7(config, options, std::move(file), reader);
  }
  RWKVD_CHECK(false);
}

}  // namespace

absl::StatusOr<std::unique_ptr<const LayeredModel>> LoadModel(
    std::shared_ptr<const TensorFile> file, const ModelOptions& options) {
  RWKVD_ASSIGN_OR_RETURN(ModelConfig config, DeduceConfig(*file));
  RWKVD_RETURN_IF_ERROR(CheckQuantizable(*file, options.weights));
  if (options.weights != WeightKind::kAsStored) {
    config.weight_type = std::string(NameOf(options.weights));
  }
  WeightReader reader(*file, options);
  return LoadVersion(config, options, std::move(file), reader);
}

absl::Status CheckTensors(std::shared_ptr<const TensorFile> file) {
  RWKVD_ASSIGN_OR_RETURN(const ModelConfig config, DeduceConfig(*file));
  WeightReader reader = WeightReader::OfShapes(*file);
  // The model has no weights, so that nobody may use it.
  return LoadVersion(config, {}, std::move(file), reader).status();
}

void ReleaseCopiedPages(const TensorFile& file) {
  for (const auto& [name, tensor] : file.tensors()) {
    if (IsBlockType(tensor.dtype) && name != "emb.weight") file.Release(tensor);
  }
}

}  // namespace rwkvd
