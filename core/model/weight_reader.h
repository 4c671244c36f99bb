// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_WEIGHT_READER_H_
#define RWKVD_CORE_MODEL_WEIGHT_READER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/matrix.h"
#include "core/model/model_options.h"
#include "core/model/weight_memory.h"
#include "core/quantize/weight_kind.h"

namespace rwkvd {

// A vector of weights, as f32.
using Vector = std::vector<float>;

// Takes the weights of a model from a checkpoint by name and expected shape,
// and collects all problems, so that one error message can report them
// together. Weights that cannot be taken are returned empty.
//
// Used while loading, by one thread. `file` outlives the reader and every
// Matrix. Weights that the reader quantizes, or copies from blocks (packed, or
// widened to f32), lie in memory of their own, which the result of Owner keeps
// alive.
class WeightReader {
 public:
  explicit WeightReader(const TensorFile& file,
                        const ModelOptions& options = {})
      : file_(file),
        options_(options),
        memory_(file, options.activations, options.pool) {}

  // A reader that only checks names and shapes: it reads no weights, and the
  // matrices and vectors that it returns are empty.
  static WeightReader OfShapes(const TensorFile& file) {
    return WeightReader(file, /*reads_weights=*/false);
  }

  // Returns a view of the [rows, cols] matrix as it is stored (which may be
  // quantized), or quantizes it first, if the options say so.
  Matrix TakeMatrix(absl::string_view name, int64_t rows, int64_t cols);

  // Returns a view of the [rows, cols] matrix as it is stored, of which only
  // rows are read. It may have a block type.
  Matrix TakeEmbedding(absl::string_view name, int64_t rows, int64_t cols);

  // Returns a view of a matrix whose transpose is stored, [cols, rows]: the
  // papers write such weights to the right of x, y = x W.
  Matrix TakeTransposed(absl::string_view name, int64_t rows, int64_t cols);

  // Return views of `num` matrices whose transposes are stored in one tensor,
  // [num, cols, rows] (Stack) or [cols, num * rows] (Slices).
  std::vector<Matrix> TakeTransposedStack(absl::string_view name, int64_t num,
                                          int64_t rows, int64_t cols);
  std::vector<Matrix> TakeTransposedSlices(absl::string_view name, int64_t num,
                                           int64_t rows, int64_t cols);

  // Returns a copy of a vector of `size` elements. It may be stored with
  // additional dimensions of size 1, as [1, 1, size].
  Vector TakeVector(absl::string_view name, int64_t size);

  // Returns a copy of the values of a tensor [num, size], as one vector. If the
  // tensor is [num], each value is repeated `size` times. Either may be stored
  // with additional dimensions of size 1.
  Vector TakePerHead(absl::string_view name, int64_t num, int64_t size);

  bool Has(absl::string_view name) const;

  // Marks a tensor as taken, if it exists: another reader takes it.
  void LeaveAside(absl::string_view name) { taken_.emplace(name); }

  // Returns the size of dimension `index` of a matrix, from which the expected
  // shapes of others follow. If there is no such matrix, returns 0 and records
  // a problem.
  int64_t MatrixSize(absl::string_view name, size_t index);

  // InvalidArgument that names every tensor that was missing or misshapen, or,
  // if there was none, every tensor that was not taken: a tensor that may
  // change the model is never ignored silently.
  absl::Status status() const;

  // Returns a pointer to `file`, the file of this reader, that also keeps the
  // weights alive that the reader quantized or copied. Tensors that were
  // replaced in `file` and then quantized are dropped. The last call.
  std::shared_ptr<const TensorFile> Owner(
      std::shared_ptr<const TensorFile> file) {
    return memory_.Owner(std::move(file));
  }

 private:
  WeightReader(const TensorFile& file, bool reads_weights)
      : file_(file),
        reads_weights_(reads_weights),
        memory_(file, ActivationKind::kAuto, /*pool=*/nullptr) {}

  const Tensor* Find(absl::string_view name);
  // The same, but also records a problem and returns nullptr if the tensor has
  // another shape.
  const Tensor* FindShaped(absl::string_view name,
                           absl::Span<const int64_t> shape);
  // Returns a view of stored quants and their scales.
  Matrix TakeQuants(absl::string_view name, const StoredQuants& stored,
                    int64_t rows, int64_t cols);
  const Tensor* FindPackedBlocks(const std::string& name, DType dtype,
                                 absl::Span<const int64_t> shape,
                                 size_t alignment);
  Vector ReadVector(const Tensor& tensor) const;
  // Returns a view of `tensor`, whose shape has been checked, or of a copy if
  // it has a block type.
  Matrix View(const Tensor& tensor);

  const TensorFile& file_;
  const ModelOptions options_;
  const bool reads_weights_ = true;
  WeightMemory memory_;
  absl::flat_hash_set<std::string> taken_;
  std::vector<std::string> problems_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_WEIGHT_READER_H_
