// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_WEIGHT_READER_H_
#define RWKVD_CORE_MODEL_WEIGHT_READER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/matrix.h"
#include "core/model/model_options.h"
#include "core/quantize/matrix.h"
#include "core/quantize/weight_kind.h"

namespace rwkvd {

// A vector of a network's weights, as f32.
using Vector = std::vector<float>;

// Takes a network's weights out of a checkpoint by name and expected shape,
// and remembers everything that is wrong, so that a user hears of it all at
// once. What cannot be taken comes back empty.
//
// Used while loading, by one thread; `file` outlives it and every Matrix. What
// it quantizes lies in memory of its own, for which see Owner.
class WeightReader {
 public:
  explicit WeightReader(const TensorFile& file,
                        const ModelOptions& options = {})
      : file_(file), options_(options) {}

  // A view of the [rows, cols] matrix: as it is stored, be it quantized, or as
  // it was quantized here, if the options say so.
  Matrix TakeMatrix(absl::string_view name, int64_t rows, int64_t cols);

  // A view of the matrix that is stored as its transpose, [cols, rows]: such
  // weights stand to the right of x in the papers, y = x W.
  Matrix TakeTransposed(absl::string_view name, int64_t rows, int64_t cols);

  // Views of the `num` transposed matrices that a tensor [num, cols, rows]
  // holds, or side by side a tensor [cols, num * rows].
  std::vector<Matrix> TakeTransposedStack(absl::string_view name, int64_t num,
                                          int64_t rows, int64_t cols);
  std::vector<Matrix> TakeTransposedSlices(absl::string_view name, int64_t num,
                                           int64_t rows, int64_t cols);

  // A copy of the vector of `size`, which may be stored with dimensions of 1
  // around it, as [1, 1, size].
  Vector TakeVector(absl::string_view name, int64_t size);

  // A copy of the values of a tensor [num, size], as one vector. One of [num]
  // has each value repeated `size` times. Either may have dimensions of 1.
  Vector TakePerHead(absl::string_view name, int64_t num, int64_t size);

  bool Has(absl::string_view name) const;

  // Counts as taken, if it is there: somebody else reads it.
  void LeaveAside(absl::string_view name) { taken_.emplace(name); }

  // The size of dimension `index` of a matrix, so that the rest can be expected
  // to fit; 0 if there is no such matrix, which is then a problem.
  int64_t MatrixSize(absl::string_view name, size_t index);

  // InvalidArgument naming every tensor that was missing or misshapen, or was
  // not taken at all: what changes the network is not left out in silence.
  absl::Status status() const;

  // `file`, which is that of this reader, together with the memory of all that
  // was quantized: what a network keeps alive for its weights. The last call.
  std::shared_ptr<const TensorFile> Owner(
      std::shared_ptr<const TensorFile> file);

 private:
  const Tensor* Find(absl::string_view name);
  // Views of tensors of quants and their scales.
  Matrix TakeQuants(absl::string_view name, const StoredQuants& stored,
                    int64_t rows, int64_t cols);
  const Tensor* FindPackedBlocks(const std::string& name, DType dtype,
                                 absl::Span<const int64_t> shape,
                                 size_t alignment);
  // A view of the quantized form of `tensor`, made here.
  Matrix Quantize(const Tensor& tensor, QuantForm form);
  // `tensor`, of a shape that has been checked, as a matrix.
  Matrix View(const Tensor& tensor);

  const TensorFile& file_;
  const ModelOptions options_;
  std::vector<QuantizedMatrix> quantized_;
  absl::flat_hash_set<std::string> taken_;
  std::vector<std::string> problems_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_WEIGHT_READER_H_
