// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_RWKV4_H_
#define RWKVD_CORE_MODEL_RWKV4_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/config.h"
#include "core/model/layered_model.h"
#include "core/model/model_options.h"
#include "core/model/weight_reader.h"

namespace rwkvd {

// RWKV-4, "Dove" (Peng et al., arXiv 2305.13048), from a checkpoint with
// BlinkDL's names. InvalidArgument as LoadModel.
//
// The state holds for each layer the last input of channel mixing [C], the last
// input of time mixing [C], and aa, bb and pp of the recurrence [A each] (see
// KernelTable::wkv4). C is the embedding size, A the attention size.
absl::StatusOr<std::unique_ptr<const LayeredModel>> LoadRwkv4(
    const ModelConfig& config, const ModelOptions& options,
    std::shared_ptr<const TensorFile> file, WeightReader& reader);

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_RWKV4_H_
