// SPDX-License-Identifier: Apache-2.0
#include "core/kernels/kernel_table.h"

// Highway compiles kernels-inl.h once for each instruction set, under function
// attributes instead of compiler flags, so that no copy of a shared inline
// function needs instructions the processor may lack.
//
// Not for SVE: the length of its vectors is known at run time only, and the
// kernels keep vectors in arrays. Its processors have NEON, too.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/targets/float_kernels-inl.h"
// The order matters.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "core/kernels/targets/float_kernels-inl.h"
// clang-format on

#if HWY_ONCE

#include "absl/strings/match.h"
#include "core/kernels/targets/tables.h"

namespace rwkvd {
namespace {

HWY_EXPORT(Table);

std::vector<const KernelTable*> MakeSupportedKernels() {
  std::vector<const KernelTable*> tables;
  // Highway numbers better targets lower, one bit each.
  for (int64_t left = hwy::SupportedTargets() & HWY_TARGETS; left != 0;
       left &= left - 1) {
    const int64_t target = left & -left;
    hwy::GetChosenTarget().Update(target);
    auto* const table = new KernelTable(*HWY_DYNAMIC_DISPATCH(Table)());
    SetQuantizedKernelsOfChosenTarget(table);
    for (const auto extend : {&AddAmx, &AddDotProducts}) {
      KernelTable extended = *table;
      if (extend(target, &extended)) {
        tables.push_back(new KernelTable(extended));
      }
    }
    tables.push_back(table);
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
