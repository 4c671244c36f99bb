// SPDX-License-Identifier: Apache-2.0
#include "core/kernels/kernels.h"

// Highway compiles kernels-inl.h once for each instruction set, under function
// attributes instead of compiler flags, so that no copy of a shared inline
// function needs instructions the processor may lack.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/kernels-inl.h"
// The order matters.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "core/kernels/kernels-inl.h"
// clang-format on

#if HWY_ONCE

#include "absl/strings/match.h"

namespace rwkvd {
namespace {

HWY_EXPORT(Table);

std::vector<const KernelTable*> MakeSupportedKernels() {
  std::vector<const KernelTable*> tables;
  // Highway numbers better targets lower, one bit each.
  for (int64_t left = hwy::SupportedTargets() & HWY_TARGETS; left != 0;
       left &= left - 1) {
    hwy::GetChosenTarget().Update(left & -left);
    tables.push_back(HWY_DYNAMIC_DISPATCH(Table)());
  }
  hwy::GetChosenTarget().DeInit();
  return tables;
}

}  // namespace

const std::vector<const KernelTable*>& SupportedKernels() {
  static const auto* const tables =
      new std::vector<const KernelTable*>(MakeSupportedKernels());
  return *tables;
}

const KernelTable& BestKernels() { return *SupportedKernels().front(); }

const KernelTable* FindKernels(absl::string_view name) {
  for (const KernelTable* table : SupportedKernels()) {
    if (absl::EqualsIgnoreCase(table->name, name)) return table;
  }
  return nullptr;
}

}  // namespace rwkvd

#endif  // HWY_ONCE
