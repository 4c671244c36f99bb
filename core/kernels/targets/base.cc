// SPDX-License-Identifier: Apache-2.0
// Compiles the float kernels for every base target of Highway.
//
// Highway compiles float_kernels-inl.h once per target, under function
// attributes instead of compiler flags. So no copy of an inline function that
// other files share (std, absl) contains instructions that the processor may
// lack: the one-definition rule would let the linker pick that copy for all.
#include "core/kernels/targets/tables.h"

// SVE is left out: its vector length is known only at run time, and the kernels
// keep vectors in arrays. Processors with SVE have NEON, too. SSSE3 is left
// out, since all processors that were made after 2008 have SSE4, too, or more.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/targets/float_kernels-inl.h"
// The order matters.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "core/kernels/targets/float_kernels-inl.h"
// clang-format on

#if HWY_ONCE

namespace rwkvd {
namespace {

HWY_EXPORT(FloatKernels);

}  // namespace

int64_t SupportedBaseTargets() { return hwy::SupportedTargets() & HWY_TARGETS; }

const KernelTable& FloatKernelsOfChosenTarget() {
  return *HWY_DYNAMIC_DISPATCH(FloatKernels)();
}

}  // namespace rwkvd

#endif  // HWY_ONCE
