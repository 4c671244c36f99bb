// SPDX-License-Identifier: Apache-2.0
#include "service/adapters.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/adapter.h"
#include "core/checkpoint/merge_adapters.h"
#include "service/log.h"

namespace rwkvd {
namespace {

void LogMerged(absl::Span<const Adapter> adapters, const TensorFile& merged) {
  for (const Adapter& adapter : adapters) {
    LogInfo(absl::StrCat("merged the adapter ", adapter.name(), " (",
                         adapter.path(), "): ", adapter.updates().size(),
                         " matrices changed, ", adapter.replacements().size(),
                         " tensors replaced"));
  }
  LogInfo(absl::StrCat("merged tensors take ", merged.replaced_bytes(),
                       " bytes of memory"));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TensorFile>> WithAdapters(
    std::shared_ptr<const TensorFile> base, const Options& options,
    ThreadPool& pool) {
  if (options.adapters.empty()) return base;
  RWKVD_ASSIGN_OR_RETURN(const std::vector<Adapter> adapters,
                         OpenAdapters(options.adapters, options.adapter_alpha));
  RWKVD_ASSIGN_OR_RETURN(
      auto merged,
      MergeAdapters(std::move(base), adapters, /*dtype=*/std::nullopt, pool));
  LogMerged(adapters, *merged);
  return merged;
}

}  // namespace rwkvd
