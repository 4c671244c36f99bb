// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_LOAD_MODEL_H_
#define RWKVD_CORE_MODEL_LOAD_MODEL_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/layered_model.h"
#include "core/model/model_options.h"

namespace rwkvd {

// Loads the network in `file` and keeps `file` alive; matrices are used where
// they are mapped, or quantized into memory of the model's own where `options`
// say so: InvalidArgument if `file` is quantized already. InvalidArgument names
// every missing or misshapen tensor at once. The one place that knows all
// versions.
absl::StatusOr<std::unique_ptr<const LayeredModel>> LoadModel(
    std::shared_ptr<const TensorFile> file, const ModelOptions& options = {});

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_LOAD_MODEL_H_
