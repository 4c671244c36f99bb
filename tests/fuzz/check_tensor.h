// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_FUZZ_CHECK_TENSOR_H_
#define RWKVD_TESTS_FUZZ_CHECK_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/base/check.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd::testing {

// The number of elements of the storage from the first to the last element.
inline size_t SpannedElements(const Tensor& tensor) {
  const std::vector<int64_t> strides = tensor.Strides();
  size_t spanned = 1;
  for (size_t i = 0; i < strides.size(); ++i) {
    if (tensor.shape[i] == 0) return 0;
    spanned += (tensor.shape[i] - 1) * strides[i];
  }
  return spanned;
}

// Aborts the process unless `tensor`, read from untrusted bytes, is what every
// parser guarantees: a view within `storage`, no larger than it, whose elements
// can all be read.
inline void CheckTensor(const Tensor& tensor,
                        absl::Span<const std::byte> storage) {
  RWKVD_CHECK(tensor.num_elements() >= 0);
  RWKVD_CHECK(static_cast<size_t>(tensor.num_bytes()) <= storage.size());
  const size_t per_block = BlockElements(tensor.dtype);
  const size_t blocks = (SpannedElements(tensor) + per_block - 1) / per_block;
  RWKVD_CHECK(tensor.data.size() == blocks * BlockBytes(tensor.dtype));
  if (!tensor.data.empty()) {
    RWKVD_CHECK(tensor.data.data() >= storage.data());
    RWKVD_CHECK(tensor.data.data() + tensor.data.size() <=
                storage.data() + storage.size());
  }
  const size_t elements = ToFloat(tensor).size();  // reads all elements
  RWKVD_CHECK(static_cast<int64_t>(elements) == tensor.num_elements());
  const Tensor squeezed = Squeezed(tensor);
  RWKVD_CHECK(ToFloat(squeezed).size() == elements);
  if (squeezed.shape.size() < 2) return;
  const Tensor transposed = Transposed(squeezed, 0, squeezed.shape.size() - 1);
  RWKVD_CHECK(ToFloat(transposed).size() == elements);
}

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_FUZZ_CHECK_TENSOR_H_
