// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_WEIGHT_READER_H_
#define RWKVD_CORE_MODEL_WEIGHT_READER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/matrix.h"

namespace rwkvd {

// A vector of a network's weights, as f32.
using Vector = std::vector<float>;

// Takes a network's weights out of a checkpoint by name and expected shape,
// and remembers everything that is wrong, so that a user hears of it all at
// once. What cannot be taken comes back empty.
//
// Used while loading, by one thread; `file` outlives it and every Matrix.
class WeightReader {
 public:
  explicit WeightReader(const TensorFile& file) : file_(file) {}

  // A view of the [rows, cols] matrix.
  Matrix TakeMatrix(absl::string_view name, int64_t rows, int64_t cols);

  // A copy of the vector of `size`, which may be stored with dimensions of 1
  // around it, as [1, 1, size].
  Vector TakeVector(absl::string_view name, int64_t size);

  // InvalidArgument naming every tensor that was missing or misshapen.
  absl::Status status() const;

 private:
  const Tensor* Find(absl::string_view name);

  const TensorFile& file_;
  std::vector<std::string> problems_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_WEIGHT_READER_H_
