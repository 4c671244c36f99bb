// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_KERNELS_TARGETS_TABLES_H_
#define RWKVD_CORE_KERNELS_TARGETS_TABLES_H_

// How the files that compile kernels fill a table together. Called once, while
// the tables are made.

#include <cstdint>

#include "core/kernels/kernel_table.h"

namespace rwkvd {

// Puts the quantized products for Highway's chosen target into `table`.
void SetQuantizedKernelsOfChosenTarget(KernelTable* table);

// If this processor extends Highway's `target` with dot products of bytes, puts
// products that use them into `table`, and its name; else returns false.
bool AddDotProducts(int64_t target, KernelTable* table);

// The same for Intel's matrix extension.
bool AddAmx(int64_t target, KernelTable* table);

}  // namespace rwkvd

#endif  // RWKVD_CORE_KERNELS_TARGETS_TABLES_H_
