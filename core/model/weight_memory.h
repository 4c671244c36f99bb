// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_WEIGHT_MEMORY_H_
#define RWKVD_CORE_MODEL_WEIGHT_MEMORY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/aligned_buffer.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/matrix.h"
#include "core/model/model_options.h"
#include "core/quantize/matrix.h"
#include "core/quantize/weight_kind.h"

namespace rwkvd {

// The memory of those weights that are not used where the file is mapped: they
// are quantized while loading, packed for the kernels, or widened to f32.
//
// Owned by a WeightReader, until Owner hands it over to the model;
// thread-compatible. `file` outlives it.
class WeightMemory {
 public:
  // The matrices are multiplied by `activations`. `pool` runs the work;
  // nullptr: the calling thread does.
  WeightMemory(const TensorFile& file, ActivationKind activations,
               ThreadPool* pool)
      : file_(file), activations_(activations), pool_(pool) {}

  // Quantizes `tensor` and returns a view of the result. Returns the errors of
  // QuantizeMatrix.
  absl::StatusOr<Matrix> Quantize(const Tensor& tensor, QuantForm form);
  // Returns a view of a quantized matrix [rows, cols].
  Matrix ViewOfQuants(const uint8_t* quants, const uint16_t* scales,
                      QuantForm form, int64_t rows, int64_t cols) const;
  // Packs a matrix of a block type for the kernels, and returns a view of the
  // result.
  Matrix Pack(const Tensor& tensor);
  // Returns a view of the same elements in f32, if `tensor` has a block type,
  // else `tensor` itself.
  Tensor WithoutBlocks(const Tensor& tensor);

  // See WeightReader::Owner.
  std::shared_ptr<const TensorFile> Owner(
      std::shared_ptr<const TensorFile> file);

 private:
  ThreadPool& pool();

  const TensorFile& file_;
  const ActivationKind activations_;
  ThreadPool* const pool_;
  std::vector<QuantizedMatrix> quantized_;
  std::vector<std::string> quantized_names_;
  std::vector<AlignedVector<float>> widened_;
  std::vector<AlignedVector<uint8_t>> packed_;
  std::optional<ThreadPool> one_thread_;  // if there is no pool
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_WEIGHT_MEMORY_H_
