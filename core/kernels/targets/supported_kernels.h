// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_KERNELS_TARGETS_SUPPORTED_KERNELS_H_
#define RWKVD_CORE_KERNELS_TARGETS_SUPPORTED_KERNELS_H_

#include <vector>

#include "absl/strings/string_view.h"
#include "core/kernels/kernel_table.h"

namespace rwkvd {

// The tables that this processor can run. Made at the first call, never
// destroyed. Thread-safe.

// Every table, best first.
const std::vector<const KernelTable*>& SupportedKernels();

// The first of SupportedKernels(): the widest instruction set, with its best
// extension.
const KernelTable& BestKernels();

// The supported table called `name` (case-insensitive), or nullptr.
const KernelTable* FindKernels(absl::string_view name);

}  // namespace rwkvd

#endif  // RWKVD_CORE_KERNELS_TARGETS_SUPPORTED_KERNELS_H_
