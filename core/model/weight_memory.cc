// SPDX-License-Identifier: Apache-2.0
#include "core/model/weight_memory.h"

#include <algorithm>
#include <utility>

#include "core/base/status_macros.h"
#include "core/quantize/ggml_panels.h"

namespace rwkvd {
namespace {

// Elements that one task widens from blocks to f32, whole blocks.
constexpr int64_t kWidenedPerTask = 1 << 16;

// The memory that a model keeps alive for its weights.
struct Kept {
  std::shared_ptr<const TensorFile> file;
  std::vector<QuantizedMatrix> quantized;
  std::vector<AlignedVector<float>> widened;
  std::vector<AlignedVector<uint8_t>> packed;
};

}  // namespace

Matrix WeightMemory::ViewOfQuants(const uint8_t* quants, const uint16_t* scales,
                                  QuantForm form, int64_t rows,
                                  int64_t cols) const {
  Matrix matrix{.rows = rows, .cols = cols};
  matrix.quantized = QuantizedWeights{
      .type = form.type,
      .order = form.order,
      .int16_activations =
          activations_ != ActivationKind::kInt8 && form.int16_activations(),
      .rows = rows,
      .cols = cols,
      .quants = quants,
      .scales = scales};
  return matrix;
}

Tensor WeightMemory::WithoutBlocks(const Tensor& tensor) {
  if (!IsBlockType(tensor.dtype)) return tensor;
  const int64_t size = StorageElements(tensor);
  AlignedVector<float>& widened = widened_.emplace_back(size);
  const int64_t num_tasks = (size + kWidenedPerTask - 1) / kWidenedPerTask;
  pool().ParallelFor(num_tasks, [&](int64_t task) {
    const int64_t first = task * kWidenedPerTask;
    DequantizeStorage(tensor, first, std::min(kWidenedPerTask, size - first),
                      widened.data() + first);
  });
  file_.Release(tensor);
  return WithStorage(tensor, widened);
}

Matrix WeightMemory::Pack(const Tensor& tensor) {
  const int64_t rows = tensor.shape[0], cols = tensor.shape[1];
  packed_.push_back(PackGgmlPanels(tensor, pool()));
  file_.Release(tensor);
  Matrix matrix{.rows = rows, .cols = cols};
  matrix.ggml = GgmlWeights{
      .type = tensor.dtype,
      .int16_activations = activations_ != ActivationKind::kInt8 &&
                           TakesInt16Activations(tensor.dtype, tensor.name),
      .rows = rows,
      .cols = GgmlPaddedCols(tensor.dtype, cols),
      .factor = tensor.factor,
      .panels = packed_.back().data()};
  return matrix;
}

ThreadPool& WeightMemory::pool() {
  if (pool_ != nullptr) return *pool_;
  if (!one_thread_.has_value()) one_thread_.emplace(1);
  return *one_thread_;
}

absl::StatusOr<Matrix> WeightMemory::Quantize(const Tensor& tensor,
                                              QuantForm form) {
  RWKVD_ASSIGN_OR_RETURN(quantized_.emplace_back(),
                         QuantizeMatrix(tensor, form, pool()));
  quantized_names_.push_back(tensor.name);
  return ViewOfQuants(quantized_.back().quants.data(),
                      quantized_.back().scales.data(), form, tensor.shape[0],
                      tensor.shape[1]);
}

std::shared_ptr<const TensorFile> WeightMemory::Owner(
    std::shared_ptr<const TensorFile> file) {
  if (quantized_.empty() && widened_.empty() && packed_.empty()) return file;
  file = TensorFile::WithoutReplaced(std::move(file), quantized_names_);
  auto kept = std::make_shared<const Kept>(
      Kept{std::move(file), std::move(quantized_), std::move(widened_),
           std::move(packed_)});
  const TensorFile* const view = kept->file.get();
  return {std::move(kept), view};
}

}  // namespace rwkvd
