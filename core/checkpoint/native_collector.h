// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_NATIVE_COLLECTOR_H_
#define RWKVD_CORE_CHECKPOINT_NATIVE_COLLECTOR_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/checkpoint/native_tensors.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// Collects the tensors of a checkpoint under their native names while a layout
// is translated. The tensors passed to it still have their stored names, which
// messages show. Thread-compatible.
class NativeCollector {
 public:
  // Messages begin with `path`, which must outlive the collector. All copies
  // together may take no more memory than the bytes in the file that `stored`
  // views. Without this limit, a small file could describe any number of large
  // tensors, since tensors may share bytes.
  NativeCollector(absl::string_view path, absl::Span<const Tensor> stored);

  // Adds a tensor. InvalidArgument if `native_name` has been added before.
  absl::Status Add(std::string native_name, Tensor view);

  // Adds a view of `stored` with the last two dimensions exchanged.
  absl::Status AddTransposed(std::string native_name, const Tensor& stored);

  // Adds each row of `stored`, of shape [native_names.size(), C], as a vector.
  absl::Status AddRows(absl::Span<const std::string> native_names,
                       const Tensor& stored);

  // Allocates memory, owned by the result, for a copy of all elements of
  // `stored`. InvalidArgument if all copies would exceed the limit.
  absl::StatusOr<absl::Span<std::byte>> NewCopy(const Tensor& stored);

  // Replaces every collected matrix that is contiguous neither along its rows
  // nor along its columns by a row-major copy, since kernels need one of the
  // two. Call it after all tensors have been added.
  absl::Status CopyScattered();

  // InvalidArgument, with a message of path, stored name and `problem`.
  absl::Status TensorError(const Tensor& stored,
                           absl::string_view problem) const;

  // The tensor added as `native_name`, or nullptr.
  const Tensor* Find(absl::string_view native_name) const;

  // Returns everything collected. The last call.
  NativeTensors Take(Layout layout) &&;

 private:
  struct Entry {
    size_t index;  // in collected_.tensors
    std::string stored_name;
  };

  const absl::string_view path_;
  const int64_t max_copied_bytes_;
  NativeTensors collected_;
  absl::flat_hash_map<std::string, Entry> entries_;  // by native name
};

// Whether `tensor` has `rank` dimensions, none of them 0.
bool HasRank(const Tensor& tensor, size_t rank);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_NATIVE_COLLECTOR_H_
