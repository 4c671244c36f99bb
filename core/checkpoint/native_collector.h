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

// Collects a checkpoint's tensors under their native names, while one of the
// layouts is translated. What is added still bears its stored name, for
// messages. Used by one thread.
class NativeCollector {
 public:
  // `path` begins the messages, and outlives the collector. Copies may take
  // no more memory than the bytes that `stored` lies in: tensors may share
  // them, so a small file can describe any number of large tensors.
  NativeCollector(absl::string_view path, absl::Span<const Tensor> stored);

  // InvalidArgument if there is a tensor `native_name` already.
  absl::Status Add(std::string native_name, Tensor view);

  // A view with the last two dimensions exchanged.
  absl::Status AddTransposed(std::string native_name, const Tensor& stored);

  // [native_names.size(), C], whose rows are vectors.
  absl::Status AddRows(absl::Span<const std::string> native_names,
                       const Tensor& stored);

  // Memory for a copy of all elements of `stored`, kept with the result.
  absl::StatusOr<absl::Span<std::byte>> NewCopy(const Tensor& stored);

  // Copies, row by row, every collected matrix whose elements are neighbours
  // neither along its rows nor along its columns: such cannot be computed with
  // in place. Called when all are collected.
  absl::Status CopyScattered();

  // InvalidArgument: path, stored name, `why`.
  absl::Status Refuse(const Tensor& stored, absl::string_view why) const;

  // nullptr if no such tensor has been added.
  const Tensor* Find(absl::string_view native_name) const;

  // Everything collected; ends the collector's use.
  NativeTensors Take(Layout layout) &&;

 private:
  struct Place {
    size_t index;  // in collected_.tensors
    std::string stored_name;
  };

  const absl::string_view path_;
  const int64_t max_copied_bytes_;
  NativeTensors collected_;
  absl::flat_hash_map<std::string, Place> places_;  // by native name
};

// Whether `tensor` has `rank` dimensions, none of them 0.
bool HasRank(const Tensor& tensor, size_t rank);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_NATIVE_COLLECTOR_H_
