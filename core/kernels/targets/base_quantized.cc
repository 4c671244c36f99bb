// SPDX-License-Identifier: Apache-2.0
// Compiles the quantized kernels for every base target of Highway, without
// extensions.
#include "core/kernels/targets/tables.h"

// See base.cc.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/targets/quantized_kernels-inl.h"
// The order matters.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "core/kernels/targets/quantized_kernels-inl.h"
// clang-format on

#if HWY_ONCE

namespace rwkvd {
namespace {

HWY_EXPORT(SetQuantizedKernels);

}  // namespace

void SetQuantizedKernelsOfChosenTarget(KernelTable* table) {
  HWY_DYNAMIC_DISPATCH(SetQuantizedKernels)(table);
}

}  // namespace rwkvd

#endif  // HWY_ONCE
