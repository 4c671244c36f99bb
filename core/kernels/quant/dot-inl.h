// SPDX-License-Identifier: Apache-2.0
// The dot product of four columns of 8 bits, for every row of a vector: what
// each instruction set makes of it. All give the same integers.

#if defined(RWKVD_CORE_KERNELS_QUANT_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_QUANT_DOT_INL_H_
#undef RWKVD_CORE_KERNELS_QUANT_DOT_INL_H_
#else
#define RWKVD_CORE_KERNELS_QUANT_DOT_INL_H_
#endif

#include <string.h>

#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

// A file may compile these for a target and an extension of it.
#undef RWKVD_BEFORE_NAMESPACE
#undef RWKVD_DOT_AVX_VNNI
#undef RWKVD_DOT_AVX512_VNNI
#undef RWKVD_DOT_AMX
#undef RWKVD_DOT_NEON
#undef RWKVD_DOT_HALVES
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

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

// A lane holds the four columns of a row, a byte each, or sums of a row.
using DI = hn::RebindToSigned<DF>;
using VI = hn::Vec<DI>;
constexpr DI kI;

// Four bytes, or two pairs of them, at any alignment.
HWY_INLINE VI SetFourBytes(const void* p) {
  int32_t bytes;
  memcpy(&bytes, p, sizeof(bytes));
  return hn::Set(kI, bytes);
}

// Sums that a compiler may not take in another order. Free to, it first makes
// all products of several columns, and keeps them in memory.
HWY_INLINE VI InTurn(VI sums) {
#if HWY_ARCH_X86
  auto raw = sums.raw;
  asm volatile("" : "+v"(raw));
  return VI{raw};
#else
  return sums;
#endif
}

// The plain form, which every instruction set can do: the even columns and the
// odd ones, widened to 16 bits, as pairs.
//
// A form has weights `W` (unsigned, zero is kQuantZero) and columns of x `X`
// made ready once for several uses, and sums that begin with `First(offset)`.
// With kPairs it takes x as QuantizedActivations::pairs where weights have 8
// bits.
#if HWY_TARGET != HWY_SCALAR
struct PairsDot {
  static constexpr bool kPairs = true;
  static constexpr bool kHalves = false;
  using D16 = hn::Repartition<int16_t, DI>;
  struct W {
    hn::Vec<D16> even, odd;
  };
  using X = W;

  static HWY_INLINE W Weights(VI w) {
    const hn::RebindToUnsigned<D16> d;
    const auto pairs = hn::BitCast(d, w);
    return {hn::BitCast(D16(), hn::And(pairs, hn::Set(d, 0x00ff))),
            hn::BitCast(D16(), hn::ShiftRight<8>(pairs))};
  }
  static HWY_INLINE X Columns(const int8_t* x) {
    const auto pairs = hn::BitCast(D16(), SetFourBytes(x));
    return {hn::ShiftRight<8>(hn::ShiftLeft<8>(pairs)),
            hn::ShiftRight<8>(pairs)};
  }
  static HWY_INLINE X Columns(const int16_t* x) {
    return {hn::BitCast(D16(), SetFourBytes(x)),
            hn::BitCast(D16(), SetFourBytes(x + 2))};
  }
  static HWY_INLINE VI First(int32_t offset) { return hn::Set(kI, offset); }
  static HWY_INLINE VI Add(VI sum, const W& w, const X& x) {
    sum = InTurn(hn::Add(sum, Pairs(w.even, x.even)));
    return InTurn(hn::Add(sum, Pairs(w.odd, x.odd)));
  }

 private:
  // Per lane of 32 bits, the sum of two products.
  static HWY_INLINE VI Pairs(hn::Vec<D16> a, hn::Vec<D16> b) {
#if HWY_ARCH_X86 && HWY_MAX_BYTES == 64
    return VI{_mm512_madd_epi16(a.raw, b.raw)};
#elif HWY_ARCH_X86 && HWY_MAX_BYTES == 32
    return VI{_mm256_madd_epi16(a.raw, b.raw)};
#elif HWY_ARCH_X86
    return VI{_mm_madd_epi16(a.raw, b.raw)};
#elif HWY_ARCH_ARM_A64
    return VI{vpaddq_s32(vmull_s16(vget_low_s16(a.raw), vget_low_s16(b.raw)),
                         vmull_high_s16(a.raw, b.raw))};
#else
#error "no product of pairs for this processor"
#endif
  }
};
#endif  // HWY_TARGET != HWY_SCALAR

#if defined(RWKVD_DOT_AVX_VNNI) || defined(RWKVD_DOT_AVX512_VNNI)
// vpdpbusd: four products and their sum in one instruction.
struct VnniDot {
  static constexpr bool kPairs = false;
  static constexpr bool kHalves = false;
  using W = VI;
  using X = VI;

  static HWY_INLINE W Weights(VI w) { return w; }
  static HWY_INLINE X Columns(const int8_t* x) { return SetFourBytes(x); }
  static HWY_INLINE VI First(int32_t offset) { return hn::Set(kI, offset); }
  static HWY_INLINE VI Add(VI sum, W w, X x) {
#ifdef RWKVD_DOT_AVX512_VNNI
    return VI{_mm512_dpbusd_epi32(sum.raw, w.raw, x.raw)};
#else
    return VI{_mm256_dpbusd_avx_epi32(sum.raw, w.raw, x.raw)};
#endif
  }
};
using Dot = VnniDot;
#elif defined(RWKVD_DOT_NEON)
// sdot, whose both sides are signed: weights have their zero at zero, and sums
// no offset.
struct NeonDot {
  static constexpr bool kPairs = false;
  static constexpr bool kHalves = false;
  using W = VI;
  using X = VI;

  static HWY_INLINE W Weights(VI w) {
    return hn::Xor(w, hn::Set(kI, static_cast<int32_t>(0x80808080u)));
  }
  static HWY_INLINE X Columns(const int8_t* x) { return SetFourBytes(x); }
  static HWY_INLINE VI First(int32_t) { return hn::Zero(kI); }
  static HWY_INLINE VI Add(VI sum, W w, X x) {
    return VI{vdotq_s32(sum.raw, vreinterpretq_s8_s32(w.raw),
                        vreinterpretq_s8_s32(x.raw))};
  }
};
using Dot = NeonDot;
#elif HWY_TARGET != HWY_SCALAR
using Dot = PairsDot;
#endif

#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && \
    !defined(RWKVD_DOT_AVX_VNNI) && !defined(RWKVD_DOT_AVX512_VNNI)
#define RWKVD_DOT_HALVES
// Of weights of four bits, as bytes of 0 to 15: the sums of two products fit 16
// bits, and so do those of kCols columns.
struct HalvesDot {
  static constexpr bool kHalves = true;
  static constexpr int64_t kCols = 32;
  using W = VI;
  using X = VI;

  static HWY_INLINE X Columns(const int8_t* x) { return SetFourBytes(x); }
  // To the sums of the even pairs of columns, and of the odd ones.
  static HWY_INLINE VI Add(VI sums, W w, X x) {
#if HWY_MAX_BYTES == 64
    return InTurn(
        VI{_mm512_add_epi16(sums.raw, _mm512_maddubs_epi16(w.raw, x.raw))});
#elif HWY_MAX_BYTES == 32
    return InTurn(
        VI{_mm256_add_epi16(sums.raw, _mm256_maddubs_epi16(w.raw, x.raw))});
#else
    return InTurn(VI{_mm_add_epi16(sums.raw, _mm_maddubs_epi16(w.raw, x.raw))});
#endif
  }
  // Both, in 32 bits.
  static HWY_INLINE VI Both(VI sums) {
#if HWY_MAX_BYTES == 64
    return VI{_mm512_madd_epi16(sums.raw, _mm512_set1_epi16(1))};
#elif HWY_MAX_BYTES == 32
    return VI{_mm256_madd_epi16(sums.raw, _mm256_set1_epi16(1))};
#else
    return VI{_mm_madd_epi16(sums.raw, _mm_set1_epi16(1))};
#endif
  }
};
#endif

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
