// SPDX-License-Identifier: Apache-2.0
// The quants, scales and minimums of packed weights of GGML's block types, as
// vectors; ggml/layout.h describes how they are stored.

#if defined(RWKVD_CORE_KERNELS_GGML_UNPACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_GGML_UNPACK_INL_H_
#undef RWKVD_CORE_KERNELS_GGML_UNPACK_INL_H_
#else
#define RWKVD_CORE_KERNELS_GGML_UNPACK_INL_H_
#endif

#include "core/base/dtype.h"
#include "core/kernels/extensions-inl.h"
#include "core/kernels/ggml/layout.h"
#include "core/kernels/quant/dot-inl.h"
#include "core/kernels/quant/layout-inl.h"
#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

// A number that is known at compile time.
template <int kNumber>
struct Constant {
  static constexpr int value = kNumber;
};

// Calls fn(Constant<i>()) for each i in [kBegin, kEnd): a loop whose index can
// be the count of a shift.
template <int kBegin, int kEnd, class Fn>
HWY_INLINE void ForEachConstant(const Fn& fn) {
  if constexpr (kBegin < kEnd) {
    fn(Constant<kBegin>());
    ForEachConstant<kBegin + 1, kEnd>(fn);
  }
}

// ---- Quants. kQuad is the number of a quad in its group; a plane's pointer is
// that of the vector in question, in its first 64 bytes.

// Moves bit kFrom of every byte to bit kTo. Other bits are undefined.
template <int kFrom, int kTo>
HWY_INLINE VI MoveBits(VI bytes) {
  if constexpr (kFrom > kTo) {
    return hn::ShiftRight<kFrom - kTo>(bytes);
  } else {
    return hn::ShiftLeft<kTo - kFrom>(bytes);
  }
}

// Returns a quad's bits of a plane of nibbles.
template <int kQuad>
HWY_INLINE VI NibblesOf(const uint8_t* plane) {
  const VI bytes = LoadBytes(plane + kQuad / 2 * kQuadBytes);
  return kQuad % 2 == 0 ? LowNibbles(bytes) : HighNibbles(bytes);
}

// Returns a quad's bits of a plane of pairs, from bit kTo of each byte on.
template <int kQuad, int kTo>
HWY_INLINE VI PairsOf(const uint8_t* plane) {
  const VI bytes = LoadBytes(plane + kQuad / 4 * kQuadBytes);
  return hn::And(MoveBits<2 * (kQuad % 4), kTo>(bytes),
                 hn::Set(kI, 0x03030303 << kTo));
}

// Returns a quad's bits of a plane of bits, as bit kTo of each byte.
template <int kQuad, int kTo>
HWY_INLINE VI BitsOf(const uint8_t* plane) {
  const VI bytes = LoadBytes(plane + kQuad / 8 * kQuadBytes);
  return hn::And(MoveBits<kQuad % 8, kTo>(bytes),
                 hn::Set(kI, 0x01010101 << kTo));
}

// Returns the quants of IQ4_NL and IQ4_XS for bytes of 0 to 15.
HWY_INLINE VI LookUpQuants(VI nibbles) {
  const hn::Repartition<uint8_t, DI> d8;
  const auto table = hn::LoadDup128(d8, kIq4Quants);
  return hn::BitCast(kI, hn::TableLookupBytes(table, hn::BitCast(d8, nibbles)));
}

// Returns vector `v` of a quad of the group at `group`, as the dot product
// takes it: bytes of 8 bits may be made signed.
template <DType kType, int kQuad>
HWY_INLINE VI GgmlQuad(const uint8_t* group, int v) {
  constexpr GgmlLayout kLayout = GgmlLayoutOf(kType);
  constexpr int64_t kNibblesBytes = 8 * kQuadBytes;
  constexpr int64_t kPairsBytes = 4 * kQuadBytes;
  const uint8_t* const at = group + v * kVectorBytes;
  VI quad;
  if constexpr (kLayout.bits == 8) {
    quad = LoadBytes(at + kQuad * kQuadBytes);
  } else if constexpr (kLayout.bits == 2) {
    quad = PairsOf<kQuad, 0>(at);
  } else if constexpr (kLayout.bits == 3) {
    quad = hn::Or(PairsOf<kQuad, 0>(at), BitsOf<kQuad, 2>(at + kPairsBytes));
  } else {
    quad = NibblesOf<kQuad>(at);
    if constexpr (kLayout.bits == 5) {
      quad = hn::Or(quad, BitsOf<kQuad, 4>(at + kNibblesBytes));
    } else if constexpr (kLayout.bits == 6) {
      quad = hn::Or(quad, PairsOf<kQuad, 4>(at + kNibblesBytes));
    } else if constexpr (kLayout.is_lookup) {
      quad = LookUpQuants(quad);
    }
  }
  if constexpr (kLayout.zero == kQuantZero && Dot::kIsSigned) {
    quad = hn::Xor(quad, hn::Set(kI, static_cast<int32_t>(0x80808080u)));
  }
  return quad;
}

// ---- Scales and minimums. `run` is the number of a run of columns in the span
// at `span`.

// Returns vector `v` of the f16 numbers of 16 rows at `p`.
HWY_INLINE VF LoadF16(const uint8_t* p, int v) {
  return Weight<DType::kF16>::Load(p + v * kLanes * 2);
}

// Returns vector `v` of the bytes of 16 rows at `p`, as integers.
template <bool kSigned>
HWY_INLINE VI LoadIntegers(const uint8_t* p, int v) {
  const uint8_t* const at = p + v * kLanes;
  if constexpr (kSigned) {
    const hn::Rebind<int8_t, DI> d8;
    return hn::PromoteTo(kI,
                         hn::LoadU(d8, reinterpret_cast<const int8_t*>(at)));
  } else {
    return hn::PromoteTo(kI, hn::LoadU(hn::Rebind<uint8_t, DI>(), at));
  }
}

// Where a span's byte scales begin.
constexpr int64_t kByteScales = 64;

template <DType kType>
HWY_INLINE VF GgmlScale(const uint8_t* span, int64_t run, int v) {
  constexpr GgmlLayout kLayout = GgmlLayoutOf(kType);
  if constexpr (!kLayout.has_super_scales) {
    return LoadF16(span + run * kPanelRows * 2, v);
  } else {
    VI scale = LoadIntegers<kLayout.has_signed_scales>(
        span + kByteScales + run * kPanelRows, v);
    if constexpr (kType == DType::kQ2_K) {
      scale = hn::And(scale, hn::Set(kI, 15));
    }
    return hn::Mul(LoadF16(span, v), hn::ConvertTo(kF, scale));
  }
}

template <DType kType>
HWY_INLINE VF GgmlMinimum(const uint8_t* span, int64_t run, int v) {
  constexpr GgmlLayout kLayout = GgmlLayoutOf(kType);
  static_assert(kLayout.has_minimums);
  if constexpr (!kLayout.has_super_scales) {
    return LoadF16(span + 64 + run * kPanelRows * 2, v);
  } else {
    const uint8_t* at = span + kByteScales + run * kPanelRows;
    VI minimum;
    if constexpr (kType == DType::kQ2_K) {
      minimum = hn::ShiftRight<4>(LoadIntegers<false>(at, v));
    } else {
      constexpr int64_t kRuns = GgmlSpanCols(kType) / kLayout.scale_cols;
      minimum = LoadIntegers<false>(at + kRuns * kPanelRows, v);
    }
    return hn::Mul(LoadF16(span + kPanelRows * 2, v),
                   hn::ConvertTo(kF, minimum));
  }
}

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
