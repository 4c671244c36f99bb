// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_ADAPTERS_H_
#define RWKVD_SERVICE_ADAPTERS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/tensor_file.h"
#include "service/options/options.h"

namespace rwkvd {

// Merges the adapters that the options name into the weights of `base`, on
// `pool`, and logs what was changed. Returns `base` itself if there are none.
// Errors are those of OpenAdapters and MergeAdapters.
absl::StatusOr<std::shared_ptr<const TensorFile>> WithAdapters(
    std::shared_ptr<const TensorFile> base, const Options& options,
    ThreadPool& pool);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_ADAPTERS_H_
