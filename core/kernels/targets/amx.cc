// SPDX-License-Identifier: Apache-2.0
// Compiles the quantized kernels once more, and the matmul of bf16 weights, for
// processors with AMX, Intel's matrix extension.
#define RWKVD_WITH_AMX
#include "core/kernels/targets/tables.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

// Targets that AMX does not extend.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX2)
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

// Bits of CPUID's leaf 7, register EDX.
constexpr unsigned kAmxBf16 = 1 << 22, kAmxTile = 1 << 24, kAmxInt8 = 1 << 25;

// Asks Linux for the tile registers, for the whole process and threads to come:
// their 8 KiB become part of a thread's saved state. Returns false if refused.
bool RequestTiles() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

bool AddAmx(int64_t target, KernelTable* table) {
  unsigned a, b, c, d = 0;
  if (target != HWY_AVX3 || !__builtin_cpu_supports("avx512vnni") ||
      !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & kAmxTile) == 0 ||
      (d & kAmxInt8) == 0 || (d & kAmxBf16) == 0 || !RequestTiles()) {
    return false;
  }
  N_AVX3::SetQuantizedKernels(table);
  table->name = "AVX3_AMX";
  return true;
}

}  // namespace rwkvd

#endif  // HWY_ONCE

#else

namespace rwkvd {

bool AddAmx(int64_t, KernelTable*) { return false; }

}  // namespace rwkvd

#endif  // defined(__x86_64__)
