// SPDX-License-Identifier: Apache-2.0
// The extensions of a Highway target that the quantized kernels use: dot
// products of bytes, and AMX.
//
// The same kernels are compiled for a target and, in other files, for its
// extensions. A file chooses with RWKVD_WITH_DOT_PRODUCTS or RWKVD_WITH_AMX,
// and this header turns that into macros for the current target:
//   RWKVD_BEFORE_NAMESPACE()  HWY_BEFORE_NAMESPACE() plus the extension's
//                             instructions
//   RWKVD_DOT_...             the instructions that kernels may use
// Everything in between is in an anonymous namespace: files for a target and
// for its extension define the same names.

#if defined(RWKVD_CORE_KERNELS_EXTENSIONS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_EXTENSIONS_INL_H_
#undef RWKVD_CORE_KERNELS_EXTENSIONS_INL_H_
#else
#define RWKVD_CORE_KERNELS_EXTENSIONS_INL_H_
#endif

#include "hwy/highway.h"

#undef RWKVD_BEFORE_NAMESPACE
#undef RWKVD_DOT_AVX_VNNI
#undef RWKVD_DOT_AVX512_VNNI
#undef RWKVD_DOT_AMX
#undef RWKVD_DOT_NEON
#undef RWKVD_DOT_NARROW
#if defined(RWKVD_WITH_AMX) && HWY_TARGET == HWY_AVX3
#define RWKVD_DOT_AVX512_VNNI
#define RWKVD_DOT_AMX
#define RWKVD_BEFORE_NAMESPACE() \
  HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni,amx-tile,amx-int8,amx-bf16")
#elif defined(RWKVD_WITH_DOT_PRODUCTS) && HWY_TARGET == HWY_AVX3
#define RWKVD_DOT_AVX512_VNNI
#define RWKVD_BEFORE_NAMESPACE() \
  HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")
#elif defined(RWKVD_WITH_DOT_PRODUCTS) && HWY_TARGET == HWY_AVX2
#define RWKVD_DOT_AVX_VNNI
#define RWKVD_BEFORE_NAMESPACE() HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avxvnni")
#elif defined(RWKVD_WITH_DOT_PRODUCTS) && HWY_TARGET == HWY_NEON
#define RWKVD_DOT_NEON
#define RWKVD_BEFORE_NAMESPACE() \
  HWY_PUSH_ATTRIBUTES("arch=armv8.2-a+dotprod+crypto")
#else
#define RWKVD_BEFORE_NAMESPACE() HWY_BEFORE_NAMESPACE()
#endif

// Without dot products of four bytes, those of two bytes, whose sum fits int16
// if one of them has few bits.
#if HWY_TARGET != HWY_SCALAR && !defined(RWKVD_DOT_AVX_VNNI) && \
    !defined(RWKVD_DOT_AVX512_VNNI) && !defined(RWKVD_DOT_NEON)
#define RWKVD_DOT_NARROW
#endif

#endif  // include guard
