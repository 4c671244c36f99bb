// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_LOAD_MODEL_H_
#define RWKVD_CORE_MODEL_LOAD_MODEL_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/layered_model.h"
#include "core/model/model_options.h"

namespace rwkvd {

// Loads the model in `file` and keeps `file` alive. Matrices are used where
// they are mapped; those that `options` says to quantize are quantized into
// memory that the model owns, and matrices of block types are packed into such
// memory. InvalidArgument if `file` is to be quantized but already is, and if
// tensors are missing, misshapen or unknown; the message names all of them.
// Only this function knows all versions.
absl::StatusOr<std::unique_ptr<const LayeredModel>> LoadModel(
    std::shared_ptr<const TensorFile> file, const ModelOptions& options = {});

// Checks that LoadModel would find all tensors, with the right shapes. Reads
// none of them, except for tuned states. Returns the errors of LoadModel.
absl::Status CheckTensors(std::shared_ptr<const TensorFile> file);

// Gives up the memory of those pages of `file` that a model does not read,
// because LoadModel has copied them: those of matrices of block types.
// LoadModel does so itself; needed after TensorFile::Preload and CheckFinite.
void ReleaseCopiedPages(const TensorFile& file);

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_LOAD_MODEL_H_
