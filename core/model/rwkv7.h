// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_RWKV7_H_
#define RWKVD_CORE_MODEL_RWKV7_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/config.h"
#include "core/model/layered_model.h"
#include "core/model/model_options.h"
#include "core/model/weight_reader.h"

namespace rwkvd {

// RWKV-7, "Goose" (Peng et al., arXiv 2503.14456): the state is edited by a
// generalized delta rule, at a rate that depends on the tokens. InvalidArgument
// as LoadModel. The layout of the state is MatrixState.
absl::StatusOr<std::unique_ptr<const LayeredModel>> LoadRwkv7(
    const ModelConfig& config, const ModelOptions& options,
    std::shared_ptr<const TensorFile> file, WeightReader& reader);

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_RWKV7_H_
