// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_KERNELS_TARGETS_TABLES_H_
#define RWKVD_CORE_KERNELS_TARGETS_TABLES_H_

// How the files that compile kernels fill a KernelTable together. Called while
// supported_kernels.cc makes the tables, by one thread.

#include <cstdint>

#include "core/kernels/kernel_table.h"

namespace rwkvd {

// Highway's targets that this processor has and the kernels are compiled for:
// one bit each, better ones lower.
int64_t SupportedBaseTargets();

// The float kernels for Highway's chosen target; the quantized ones are null.
const KernelTable& FloatKernelsOfChosenTarget();

// Puts the quantized kernels for Highway's chosen target into `table`.
void SetQuantizedKernelsOfChosenTarget(KernelTable* table);

// If this processor extends Highway's `target` with dot products of bytes, puts
// quantized kernels that use them, and the extension's name, into `table`.
// Returns false, leaving `table` as it is, if not.
bool AddDotProducts(int64_t target, KernelTable* table);

// The same for AMX, which also brings a matmul for bf16 weights.
bool AddAmx(int64_t target, KernelTable* table);

}  // namespace rwkvd

#endif  // RWKVD_CORE_KERNELS_TARGETS_TABLES_H_
