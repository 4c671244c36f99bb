// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_FINITE_WEIGHTS_H_
#define RWKVD_CORE_CHECKPOINT_FINITE_WEIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/dtype.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/tensor.h"
#include "core/checkpoint/tensor_file.h"

namespace rwkvd {

// A weight that is NaN or infinite makes every prediction meaningless. It comes
// from damaged files and from training that has diverged.

// The index of the first of `elements`, of type `dtype`, that is NaN or
// infinite; nothing if all are finite. Bytes (kU8) are always finite.
std::optional<int64_t> FindNonFinite(DType dtype,
                                     absl::Span<const std::byte> elements);
// The index of the first element of `tensor`, in row-major order, that is NaN
// or infinite; nothing if all are finite.
std::optional<int64_t> FindNonFinite(const Tensor& tensor);

// InvalidArgument that names the file at `path`, the tensor, its layer, and the
// element and its value.
absl::Status NonFiniteError(absl::string_view path, const Tensor& tensor,
                            int64_t element);

// NonFiniteError of the first tensor of `file`, by name, that has a weight that
// is not finite. Reads all weights, on the threads of `pool`.
absl::Status CheckFinite(const TensorFile& file, ThreadPool& pool);
// The same on the calling thread. Cancelled if `stop`, which is called before
// each tensor, returns true.
absl::Status CheckFinite(const TensorFile& file,
                         absl::FunctionRef<bool()> stop);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_FINITE_WEIGHTS_H_
