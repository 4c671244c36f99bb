// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_RWKV5_H_
#define RWKVD_CORE_MODEL_RWKV5_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/config.h"
#include "core/model/layered_model.h"
#include "core/model/model_options.h"
#include "core/model/weight_reader.h"

namespace rwkvd {

// RWKV-5, "Eagle" (Peng et al., arXiv 2404.05892), and its two predecessors:
// 5.1, whose heads have one decay and bonus for all channels, and 5.0, which
// also lacks the gate. InvalidArgument as LoadModel. The layout of the
// state is MatrixState.
absl::StatusOr<std::unique_ptr<const LayeredModel>> LoadRwkv5(
    const ModelConfig& config, const ModelOptions& options,
    std::shared_ptr<const TensorFile> file, WeightReader& reader);

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_RWKV5_H_
