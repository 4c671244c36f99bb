// SPDX-License-Identifier: Apache-2.0
// Dot products of four columns of int8, for every row in a vector, as each
// instruction set computes them. All give the same integers.

#if defined(RWKVD_CORE_KERNELS_QUANT_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_QUANT_DOT_INL_H_
#undef RWKVD_CORE_KERNELS_QUANT_DOT_INL_H_
#else
#define RWKVD_CORE_KERNELS_QUANT_DOT_INL_H_
#endif

#include <string.h>

#include "core/kernels/extensions-inl.h"
#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

// A lane is 32 bits: four columns of one row, a byte each, or a sum of one row.
using DI = hn::RebindToSigned<DF>;
using VI = hn::Vec<DI>;
constexpr DI kI;

// Returns the four bytes at `p`, at any alignment, in every lane.
HWY_INLINE VI BroadcastFourBytes(const void* p) {
  int32_t bytes;
  memcpy(&bytes, p, sizeof(bytes));
  return hn::Set(kI, bytes);
}

// Returns `sums`, and keeps the compiler from reordering additions across the
// call. Left free, it first computes all products of several columns and spills
// them to memory.
HWY_INLINE VI KeepOrder(VI sums) {
#if HWY_ARCH_X86
  auto raw = sums.raw;
  asm volatile("" : "+v"(raw));
  return VI{raw};
#else
  return sums;
#endif
}

// Adds `more` to `sums`, and keeps the order like KeepOrder. The compiler would
// add into another register and then copy it back.
HWY_INLINE void AddInPlace(VI more, VI& sums) {
#if HWY_ARCH_X86 && HWY_MAX_BYTES >= 32
  asm volatile("vpaddd %1, %0, %0" : "+v"(sums.raw) : "v"(more.raw));
#else
  sums = KeepOrder(hn::Add(sums, more));
#endif
}

// A dot product type has
//   W, Weights(w)         four columns of weights of every row (unsigned bytes,
//                         kQuantZero stands for zero), prepared for several
//                         uses
//   X, FourColumns(x)     four columns of one row of x, prepared likewise
//   InitialSum(offset)    the sum to start from, given the group's entry of
//                         QuantizedActivations::offsets
//   Add(sum, w, x)        the sum plus the dot products
//   kTakesInt16           whether it takes x as
//                         QuantizedActivations::permuted_int16 if weights are
//                         int8
//   kTakesNibbles         whether it takes int4 weights as bytes of 0 to 15
//   kIsSigned             whether the instruction takes weights as signed bytes
//   Prepared(w)           Weights(w), for bytes that are stored as the
//                         instruction takes them
//
// This one works on every instruction set: even and odd columns are widened to
// int16, multiplied, and added in pairs.
#if HWY_TARGET != HWY_SCALAR
struct Int16Dot {
  static constexpr bool kTakesInt16 = true;
  static constexpr bool kTakesNibbles = false;
  static constexpr bool kIsSigned = false;
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
  static HWY_INLINE W Prepared(VI w) { return Weights(w); }
  static HWY_INLINE X FourColumns(const int8_t* x) {
    const auto pairs = hn::BitCast(D16(), BroadcastFourBytes(x));
    return {hn::ShiftRight<8>(hn::ShiftLeft<8>(pairs)),
            hn::ShiftRight<8>(pairs)};
  }
  static HWY_INLINE X FourColumns(const int16_t* x) {
    return {hn::BitCast(D16(), BroadcastFourBytes(x)),
            hn::BitCast(D16(), BroadcastFourBytes(x + 2))};
  }
  static HWY_INLINE VI InitialSum(int32_t offset) {
    return hn::Set(kI, offset);
  }
  static HWY_INLINE VI Add(VI sum, const W& w, const X& x) {
    sum = KeepOrder(hn::Add(sum, SumOfPairs(w.even, x.even)));
    return KeepOrder(hn::Add(sum, SumOfPairs(w.odd, x.odd)));
  }
  // Returns the sums of two int16 products, the two columns of a lane.
  static HWY_INLINE VI SumOfTwo(VI w, VI x) {
    return SumOfPairs(hn::BitCast(D16(), w), hn::BitCast(D16(), x));
  }

 private:
  // Returns, in each 32-bit lane, the sum of two int16 products.
  static HWY_INLINE VI SumOfPairs(hn::Vec<D16> a, hn::Vec<D16> b) {
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
#error "no int16 dot product for this processor"
#endif
  }
};
#endif  // HWY_TARGET != HWY_SCALAR

#if defined(RWKVD_DOT_AVX_VNNI) || defined(RWKVD_DOT_AVX512_VNNI)
// vpdpbusd: four products and their sum in one instruction.
struct VnniDot {
  static constexpr bool kTakesInt16 = false;
  static constexpr bool kTakesNibbles = false;
  static constexpr bool kIsSigned = false;
  using W = VI;
  using X = VI;

  static HWY_INLINE W Weights(VI w) { return w; }
  static HWY_INLINE W Prepared(VI w) { return w; }
  static HWY_INLINE X FourColumns(const int8_t* x) {
    return BroadcastFourBytes(x);
  }
  static HWY_INLINE VI InitialSum(int32_t offset) {
    return hn::Set(kI, offset);
  }
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
// sdot: both operands are signed, so weights are shifted to have their zero at
// zero, and sums start without an offset.
struct NeonDot {
  static constexpr bool kTakesInt16 = false;
  static constexpr bool kTakesNibbles = false;
  static constexpr bool kIsSigned = true;
  using W = VI;
  using X = VI;

  static HWY_INLINE W Weights(VI w) {
    return hn::Xor(w, hn::Set(kI, static_cast<int32_t>(0x80808080u)));
  }
  static HWY_INLINE W Prepared(VI w) { return w; }
  static HWY_INLINE X FourColumns(const int8_t* x) {
    return BroadcastFourBytes(x);
  }
  static HWY_INLINE VI InitialSum(int32_t) { return hn::Zero(kI); }
  static HWY_INLINE VI Add(VI sum, W w, X x) {
    return VI{vdotq_s32(sum.raw, vreinterpretq_s8_s32(w.raw),
                        vreinterpretq_s8_s32(x.raw))};
  }
};
using Dot = NeonDot;
#elif HWY_TARGET != HWY_SCALAR
using Dot = Int16Dot;
#endif

#ifdef RWKVD_DOT_NARROW
// For weights as bytes of at most kBits bits, and int8 activations: the sum of
// two products fits int16, and so does the sum over kCols columns.
template <int kBits>
struct NarrowDot {
  static_assert(kBits <= 6);
  static constexpr bool kTakesNibbles = true;
  static constexpr int64_t kCols = kBits <= 4 ? 32 : kBits == 5 ? 16 : 8;
  static_assert(((1 << kBits) - 1) * 127 * kCols / 2 <= 32767);
  using W = VI;
  using X = VI;

  static HWY_INLINE W Prepared(VI w) { return w; }
  static HWY_INLINE X FourColumns(const int8_t* x) {
    return BroadcastFourBytes(x);
  }
  // Each lane holds two int16 sums: of even and of odd pairs of columns.
  static HWY_INLINE VI Add(VI sums, W w, X x) {
    const hn::Repartition<int16_t, DI> d;
    return KeepOrder(hn::BitCast(
        kI, hn::Add(hn::BitCast(d, sums), hn::BitCast(d, First(w, x)))));
  }
  // Add to zeros.
  static HWY_INLINE VI First(W w, X x) {
#if HWY_ARCH_X86 && HWY_MAX_BYTES == 64
    return VI{_mm512_maddubs_epi16(w.raw, x.raw)};
#elif HWY_ARCH_X86 && HWY_MAX_BYTES == 32
    return VI{_mm256_maddubs_epi16(w.raw, x.raw)};
#elif HWY_ARCH_X86
    return VI{_mm_maddubs_epi16(w.raw, x.raw)};
#elif HWY_ARCH_ARM_A64
    const int8x16_t w8 = vreinterpretq_s8_s32(w.raw);
    const int8x16_t x8 = vreinterpretq_s8_s32(x.raw);
    return VI{vreinterpretq_s32_s16(vpaddq_s16(
        vmull_s8(vget_low_s8(w8), vget_low_s8(x8)), vmull_high_s8(w8, x8)))};
#else
#error "no product of bytes for this processor"
#endif
  }
  // Returns the sum of a lane's two int16 sums, in 32 bits.
  static HWY_INLINE VI SumOfHalves(VI sums) {
#if HWY_ARCH_X86 && HWY_MAX_BYTES == 64
    return VI{_mm512_madd_epi16(sums.raw, _mm512_set1_epi16(1))};
#elif HWY_ARCH_X86 && HWY_MAX_BYTES == 32
    return VI{_mm256_madd_epi16(sums.raw, _mm256_set1_epi16(1))};
#elif HWY_ARCH_X86
    return VI{_mm_madd_epi16(sums.raw, _mm_set1_epi16(1))};
#else
    return VI{vpaddlq_s16(vreinterpretq_s16_s32(sums.raw))};
#endif
  }
};
#endif

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
