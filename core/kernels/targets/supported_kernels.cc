// SPDX-License-Identifier: Apache-2.0
#include "core/kernels/targets/supported_kernels.h"

#include <cstdint>

#include "absl/strings/match.h"
#include "core/kernels/targets/tables.h"
#include "hwy/targets.h"

namespace rwkvd {
namespace {

std::vector<const KernelTable*> MakeSupportedKernels() {
  std::vector<const KernelTable*> tables;
  // Each target is one bit; Highway gives better targets lower bits.
  for (int64_t left = SupportedBaseTargets(); left != 0; left &= left - 1) {
    const int64_t target = left & -left;
    hwy::GetChosenTarget().Update(target);
    KernelTable base = FloatKernelsOfChosenTarget();
    SetQuantizedKernelsOfChosenTarget(&base);
    for (const auto extend : {&AddAmx, &AddDotProducts}) {
      KernelTable extended = base;
      if (extend(target, &extended)) {
        tables.push_back(new KernelTable(extended));
      }
    }
    tables.push_back(new KernelTable(base));
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
