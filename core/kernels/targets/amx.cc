// SPDX-License-Identifier: Apache-2.0
// The quantized products once more, for processors with Intel's matrix
// extension.
#define RWKVD_WITH_AMX
#include "core/kernels/kernel_table.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

// Those that it does not extend.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX2)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/targets/quantized_kernels-inl.h"
// The order matters.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "core/kernels/targets/quantized_kernels-inl.h"
// clang-format on

#if HWY_ONCE

#include "core/kernels/targets/tables.h"

namespace rwkvd {
namespace {

// Bits of CPUID's leaf 7, register EDX.
constexpr unsigned kAmxBf16 = 1 << 22, kAmxTile = 1 << 24, kAmxInt8 = 1 << 25;

// Linux gives the tile registers to those who ask: their 8 KiB become part of
// what it saves of a thread. For the whole process, and for threads to come.
bool MayUseTiles() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

bool AddAmx(int64_t target, KernelTable* table) {
  unsigned a, b, c, d = 0;
  if (target != HWY_AVX3 || !__builtin_cpu_supports("avx512vnni") ||
      !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & kAmxTile) == 0 ||
      (d & kAmxInt8) == 0 || (d & kAmxBf16) == 0 || !MayUseTiles()) {
    return false;
  }
  N_AVX3::SetQuantizedKernels(table);
  table->name = "AVX3_AMX";
  return true;
}

}  // namespace rwkvd

#endif  // HWY_ONCE

#else

#include "core/kernels/targets/tables.h"

namespace rwkvd {

bool AddAmx(int64_t, KernelTable*) { return false; }

}  // namespace rwkvd

#endif  // defined(__x86_64__)
