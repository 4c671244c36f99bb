// SPDX-License-Identifier: Apache-2.0
// Compiles the quantized kernels once more, for processors that multiply and
// add four bytes in one instruction: AVX-512 VNNI, AVX-VNNI and NEON's dot
// product.
#define RWKVD_WITH_DOT_PRODUCTS
// Targets without such an extension, and SVE (see base.cc).
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#include "core/kernels/targets/tables.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/targets/quantized_kernels-inl.h"
// The order matters.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "core/kernels/targets/quantized_kernels-inl.h"
// clang-format on

#if HWY_ONCE

#if HWY_ARCH_X86
#include <cpuid.h>
#elif HWY_ARCH_ARM_A64
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace rwkvd {

bool AddDotProducts(int64_t target, KernelTable* table) {
#if HWY_ARCH_X86
  if (target == HWY_AVX3 && __builtin_cpu_supports("avx512vnni")) {
    N_AVX3::SetQuantizedKernels(table);
    table->name = "AVX3_VNNI";
    return true;
  }
  unsigned a = 0, b, c, d;
  constexpr unsigned kAvxVnni = 1 << 4;
  if (target == HWY_AVX2 && __get_cpuid_count(7, 1, &a, &b, &c, &d) &&
      (a & kAvxVnni) != 0) {
    N_AVX2::SetQuantizedKernels(table);
    table->name = "AVX2_VNNI";
    return true;
  }
#elif HWY_ARCH_ARM_A64
  if (target == HWY_NEON && (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0) {
    N_NEON::SetQuantizedKernels(table);
    table->name = "NEON_DOT";
    return true;
  }
#endif
  return false;
}

}  // namespace rwkvd

#endif  // HWY_ONCE
