// SPDX-License-Identifier: Apache-2.0
#include "core/model/weight_reader.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/check.h"
#include "core/base/quote.h"

namespace rwkvd {
namespace {

constexpr size_t kQuantsAlignment = 64;  // a cache line

// The most problems that one message lists.
constexpr size_t kMaxListed = 12;

std::string Misshapen(const Tensor& tensor, absl::string_view expected) {
  return absl::StrCat(Quoted(tensor.name), " expected ", expected, ", got ",
                      ShapeString(tensor.shape));
}

bool HasShape(const Tensor& tensor, absl::Span<const int64_t> shape) {
  return absl::MakeConstSpan(tensor.shape) == shape;
}

bool IsVector(const Tensor& tensor, int64_t size) {
  return tensor.num_elements() == size &&
         std::count_if(tensor.shape.begin(), tensor.shape.end(),
                       [](int64_t dimension) { return dimension != 1; }) <= 1;
}

// The matrix at `index` of a tensor of three dimensions.
Tensor Layer(const Tensor& tensor, int64_t index) {
  Tensor view = Sliced(tensor, 0, index, index + 1);
  view.shape.erase(view.shape.begin());
  view.strides.erase(view.strides.begin());
  return view;
}

}  // namespace

const Tensor* WeightReader::Find(absl::string_view name) {
  const Tensor* tensor = file_.Find(name);
  if (tensor == nullptr) {
    problems_.push_back(absl::StrCat(Quoted(name), " is missing"));
    return nullptr;
  }
  taken_.emplace(name);
  if (tensor->dtype != DType::kU8) return tensor;
  problems_.push_back(absl::StrCat(
      Quoted(name), " expected numbers, F32, F16 or BF16, got U8"));
  return nullptr;
}

bool WeightReader::Has(absl::string_view name) const {
  return file_.Find(name) != nullptr;
}

Matrix WeightReader::View(const Tensor& stored) {
  if (!reads_weights_) return {};
  if (options_.activations != ActivationKind::kF32 &&
      IsBlockType(stored.dtype) && stored.Strides()[1] == 1) {
    return memory_.Pack(stored);
  }
  const Tensor tensor = memory_.WithoutBlocks(stored);
  const std::vector<int64_t> strides = tensor.Strides();
  const int64_t rows = tensor.shape[0], cols = tensor.shape[1];
  Matrix matrix{tensor.dtype, rows, cols, tensor.data.data()};
  // The stride of a dimension of size 1 means nothing.
  if (strides[1] == 1 || cols == 1) {
    matrix.stride = rows == 1 ? cols : strides[0];
  } else {
    RWKVD_CHECK(strides[0] == 1 || rows == 1);  // TensorFile guarantees it
    matrix.stride = strides[1];
    matrix.transposed = true;
  }
  return matrix;
}

Matrix WeightReader::TakeMatrix(absl::string_view name, int64_t rows,
                                int64_t cols) {
  if (const auto stored = FindQuants(file_, name); stored.has_value()) {
    return TakeQuants(name, *stored, rows, cols);
  }
  const Tensor* tensor = FindShaped(name, {rows, cols});
  if (tensor == nullptr) return {};
  const auto form = FormOf(options_.weights, name, rows, cols);
  if (!form.has_value()) return View(*tensor);
  const absl::StatusOr<Matrix> quantized = memory_.Quantize(*tensor, *form);
  if (quantized.ok()) return *quantized;
  problems_.push_back(std::string(quantized.status().message()));
  return {};
}

const Tensor* WeightReader::FindShaped(absl::string_view name,
                                       absl::Span<const int64_t> shape) {
  const Tensor* tensor = Find(name);
  if (tensor == nullptr || HasShape(*tensor, shape)) return tensor;
  problems_.push_back(Misshapen(*tensor, ShapeString(shape)));
  return nullptr;
}

const Tensor* WeightReader::FindPackedBlocks(const std::string& name,
                                             DType dtype,
                                             absl::Span<const int64_t> shape,
                                             size_t alignment) {
  const Tensor* tensor = file_.Find(name);
  if (tensor == nullptr) {
    problems_.push_back(absl::StrCat(Quoted(name), " is missing"));
    return nullptr;
  }
  taken_.emplace(name);
  const size_t past =
      reinterpret_cast<uintptr_t>(tensor->data.data()) % alignment;
  if (tensor->dtype != dtype || !HasShape(*tensor, shape)) {
    problems_.push_back(absl::StrCat(
        Quoted(name), " expected ", NameOf(dtype), " ", ShapeString(shape),
        ", got ", NameOf(tensor->dtype), " ", ShapeString(tensor->shape)));
  } else if (past != 0 || !tensor->is_row_major()) {
    problems_.push_back(
        absl::StrCat(Quoted(name), " expected at a multiple of ", alignment,
                     " bytes of its file, got an offset of ", past,
                     "; convert the checkpoint with "
                     "rwkv-convert"));
  } else {
    return tensor;
  }
  return nullptr;
}

Matrix WeightReader::TakeQuants(absl::string_view name,
                                const StoredQuants& stored, int64_t rows,
                                int64_t cols) {
  const QuantForm form = stored.form;
  if (cols % kGroupCols != 0) {
    problems_.push_back(absl::StrCat(Quoted(stored.tensor->name), " has ", cols,
                                     " columns, not a multiple of ",
                                     kGroupCols));
    return {};
  }
  const Tensor* quants =
      FindPackedBlocks(stored.tensor->name, DType::kU8,
                       QuantsShape(form, rows, cols), kQuantsAlignment);
  const Tensor* scales =
      FindPackedBlocks(ScalesName(name), DType::kBF16,
                       ScalesShape(form, rows, cols), alignof(uint16_t));
  if (quants == nullptr || scales == nullptr) return {};
  return memory_.ViewOfQuants(
      reinterpret_cast<const uint8_t*>(quants->data.data()),
      reinterpret_cast<const uint16_t*>(scales->data.data()), form, rows, cols);
}

Matrix WeightReader::TakeEmbedding(absl::string_view name, int64_t rows,
                                   int64_t cols) {
  const Tensor* tensor = FindShaped(name, {rows, cols});
  if (tensor == nullptr) return {};
  if (!IsBlockType(tensor->dtype)) return View(*tensor);
  RWKVD_CHECK(tensor->factor == 1 && tensor->is_row_major());
  return {tensor->dtype, rows, cols, tensor->data.data(), cols};
}

Matrix WeightReader::TakeTransposed(absl::string_view name, int64_t rows,
                                    int64_t cols) {
  const Tensor* tensor = FindShaped(name, {cols, rows});
  if (tensor == nullptr) return {};
  return View(Transposed(*tensor, 0, 1));
}

std::vector<Matrix> WeightReader::TakeTransposedStack(absl::string_view name,
                                                      int64_t num, int64_t rows,
                                                      int64_t cols) {
  std::vector<Matrix> matrices(num);
  const Tensor* tensor = FindShaped(name, {num, cols, rows});
  if (tensor == nullptr || !reads_weights_) return matrices;
  const Tensor stack = memory_.WithoutBlocks(*tensor);
  for (int64_t i = 0; i < num; ++i) {
    matrices[i] = View(Transposed(Layer(stack, i), 0, 1));
  }
  return matrices;
}

std::vector<Matrix> WeightReader::TakeTransposedSlices(absl::string_view name,
                                                       int64_t num,
                                                       int64_t rows,
                                                       int64_t cols) {
  std::vector<Matrix> matrices(num);
  const Tensor* tensor = FindShaped(name, {cols, num * rows});
  if (tensor == nullptr || !reads_weights_) return matrices;
  const Tensor joined = memory_.WithoutBlocks(*tensor);
  for (int64_t i = 0; i < num; ++i) {
    matrices[i] =
        View(Transposed(Sliced(joined, 1, i * rows, (i + 1) * rows), 0, 1));
  }
  return matrices;
}

Vector WeightReader::TakeVector(absl::string_view name, int64_t size) {
  const Tensor* tensor = Find(name);
  if (tensor == nullptr) return {};
  if (!IsVector(*tensor, size)) {
    problems_.push_back(Misshapen(*tensor, absl::StrCat("[", size, "]")));
    return {};
  }
  return ReadVector(*tensor);
}

Vector WeightReader::ReadVector(const Tensor& tensor) const {
  return reads_weights_ ? ToFloat(tensor) : Vector();
}

Vector WeightReader::TakePerHead(absl::string_view name, int64_t num,
                                 int64_t size) {
  const Tensor* tensor = Find(name);
  if (tensor == nullptr) return {};
  const std::vector<int64_t> shape = Squeezed(*tensor).shape;
  const Tensor expected{.shape = {num, size}};
  if (shape == Squeezed(expected).shape) return ReadVector(*tensor);
  if (!IsVector(*tensor, num)) {
    problems_.push_back(Misshapen(
        *tensor, absl::StrCat("[", num, ", ", size, "] or [", num, "]")));
    return {};
  }
  Vector values;
  for (float value : ReadVector(*tensor))
    values.insert(values.end(), size, value);
  return values;
}

int64_t WeightReader::MatrixSize(absl::string_view name, size_t index) {
  const Tensor* tensor = Find(name);
  if (tensor == nullptr) return 0;
  if (tensor->shape.size() == 2 && tensor->shape[index] > 0) {
    return tensor->shape[index];
  }
  problems_.push_back(Misshapen(*tensor, "a matrix"));
  return 0;
}

absl::Status WeightReader::status() const {
  std::vector<std::string> problems = problems_;
  if (problems.empty()) {
    for (const auto& [name, tensor] : file_.tensors()) {
      if (taken_.contains(name)) continue;
      problems.push_back(absl::StrCat(
          Quoted(name),
          " is unknown; variants of this architecture are not supported"));
    }
  }
  if (problems.empty()) return absl::OkStatus();
  const size_t listed = std::min(problems.size(), kMaxListed);
  return absl::InvalidArgumentError(absl::StrCat(
      file_.path(), ": ", problems.size(),
      " tensors are missing, misshapen or unknown: ",
      absl::StrJoin(problems.begin(), problems.begin() + listed, "; "),
      listed < problems.size() ? "; ..." : ""));
}

}  // namespace rwkvd
