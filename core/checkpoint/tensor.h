// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_TENSOR_H_
#define RWKVD_CORE_CHECKPOINT_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/base/dtype.h"

namespace rwkvd {

// A named array inside a mapped file, row major. A view: valid as long as the
// TensorFile it came from.
struct Tensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  // Not necessarily aligned to the element.
  absl::Span<const std::byte> data;

  int64_t num_elements() const;
};

// "[2, 3]"
std::string ShapeString(absl::Span<const int64_t> shape);

// The elements of `tensor` as f32, exactly.
std::vector<float> ToFloat(const Tensor& tensor);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_TENSOR_H_
