// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_MERGE_ADAPTERS_H_
#define RWKVD_CORE_CHECKPOINT_MERGE_ADAPTERS_H_

#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/dtype.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/adapter.h"
#include "core/checkpoint/tensor_file.h"

namespace rwkvd {

// InvalidArgument, with the adapter's file and a list, if the adapter has
// tensors that change or replace no tensor of `base`.
absl::Status CheckPlacement(const TensorFile& base, const Adapter& adapter);

// Returns `base` with all adapters merged into its weights, in order. Each
// changed matrix becomes a copy in memory, computed in double precision on
// `pool` and rounded once: to `dtype`, or, without one, to the type that it has
// in `base` (BF16 for block types). Tensors that an adapter replaces keep their
// type.
//
// Errors are those of CheckPlacement, InvalidArgument if a merged weight is not
// finite or too large for its type, and DataLoss if the file of an adapter was
// changed meanwhile.
absl::StatusOr<std::shared_ptr<const TensorFile>> MergeAdapters(
    std::shared_ptr<const TensorFile> base, absl::Span<const Adapter> adapters,
    std::optional<DType> dtype, ThreadPool& pool);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_MERGE_ADAPTERS_H_
