// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_RWKV6_H_
#define RWKVD_CORE_MODEL_RWKV6_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/config.h"
#include "core/model/layered_model.h"
#include "core/model/model_options.h"
#include "core/model/weight_reader.h"

namespace rwkvd {

// RWKV-6, "Finch" (Peng et al., arXiv 2404.05892): token shift and decay depend
// on the tokens, through low-rank matrices. InvalidArgument as LoadModel. The
// layout of the state is MatrixState.
absl::StatusOr<std::unique_ptr<const LayeredModel>> LoadRwkv6(
    const ModelConfig& config, const ModelOptions& options,
    std::shared_ptr<const TensorFile> file, WeightReader& reader);

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_RWKV6_H_
