// SPDX-License-Identifier: Apache-2.0
// The kernels, written once; compiled by kernels.cc for every target.

#if defined(RWKVD_CORE_KERNELS_KERNELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_KERNELS_INL_H_
#undef RWKVD_CORE_KERNELS_KERNELS_INL_H_
#else
#define RWKVD_CORE_KERNELS_KERNELS_INL_H_
#endif

#include <string.h>

#include "core/kernels/kernels.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Arrays of vectors need a size known when compiling: the widest fixed one.
using DF = hn::CappedTag<float, 16>;
using VF = hn::Vec<DF>;
using D16 = hn::Rebind<uint16_t, DF>;
constexpr DF kF;
constexpr size_t kLanes = hn::MaxLanes(DF());

// ---- Elements at the end of an array that do not fill a vector.

HWY_INLINE VF LoadPart(const float* p, size_t count) {
  HWY_ALIGN float lanes[kLanes] = {};
  memcpy(lanes, p, count * sizeof(float));
  return hn::Load(kF, lanes);
}

HWY_INLINE void StorePart(VF v, float* p, size_t count) {
  HWY_ALIGN float lanes[kLanes];
  hn::Store(v, kF, lanes);
  memcpy(p, lanes, count * sizeof(float));
}

// Reads and writes whole vectors, or the part at the end. The same arithmetic
// serves both, so that an element's value does not depend on where it stands.
struct WholeVector {
  HWY_INLINE VF operator()(const float* p) const { return hn::LoadU(kF, p); }
  HWY_INLINE void operator()(VF v, float* p) const { hn::StoreU(v, kF, p); }
};
struct PartOfVector {
  size_t count;
  HWY_INLINE VF operator()(const float* p) const { return LoadPart(p, count); }
  HWY_INLINE void operator()(VF v, float* p) const { StorePart(v, p, count); }
};

// Calls fn(i, io) for each vector of an array of n, `io` reading and writing
// at offset i.
template <class Fn>
HWY_INLINE void ForEachVector(size_t n, Fn fn) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) fn(i, WholeVector());
  if (i < n) fn(i, PartOfVector{n - i});
}

// ---- Weights as f32.

template <DType kType>
struct Weight;

template <>
struct Weight<DType::kF32> {
  static constexpr size_t kBytes = 4;
  static HWY_INLINE VF Load(const uint8_t* p) {
    return hn::LoadU(kF, reinterpret_cast<const float*>(p));
  }
};

template <>
struct Weight<DType::kBF16> {
  static constexpr size_t kBytes = 2;
  static HWY_INLINE VF Load(const uint8_t* p) {
    const hn::RebindToUnsigned<DF> d32;
    const auto bits = hn::LoadU(D16(), reinterpret_cast<const uint16_t*>(p));
    return hn::BitCast(kF, hn::ShiftLeft<16>(hn::PromoteTo(d32, bits)));
  }
};

template <>
struct Weight<DType::kF16> {
  static constexpr size_t kBytes = 2;
  static HWY_INLINE VF Load(const uint8_t* p) {
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128 || \
    HWY_TARGET == HWY_SSSE3 || HWY_TARGET == HWY_SSE4
    // No instruction for it, and Highway's substitute takes infinity for 2^16.
    // The bits, moved to their places, are the number times 2^-112; where the
    // exponent was all ones, it must be again.
    const hn::RebindToUnsigned<DF> d32;
    const auto bits = hn::PromoteTo(
        d32, hn::LoadU(D16(), reinterpret_cast<const uint16_t*>(p)));
    const auto sign = hn::And(bits, hn::Set(d32, 0x8000u));
    const auto magnitude = hn::ShiftLeft<13>(hn::Xor(bits, sign));
    const auto value = hn::BitCast(
        d32, hn::Mul(hn::BitCast(kF, magnitude), hn::Set(kF, 0x1p112f)));
    const auto is_special =
        hn::Eq(hn::And(magnitude, hn::Set(d32, 0x0f800000u)),
               hn::Set(d32, 0x0f800000u));
    const auto special = hn::Or(magnitude, hn::Set(d32, 0x7f800000u));
    return hn::BitCast(kF, hn::Or(hn::IfThenElse(is_special, special, value),
                                  hn::ShiftLeft<16>(sign)));
#else
    const hn::Rebind<hwy::float16_t, DF> d16;
    return hn::PromoteTo(
        kF, hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(p)));
#endif
  }
};

template <DType kType>
HWY_INLINE VF LoadWeightPart(const uint8_t* p, size_t count) {
  HWY_ALIGN uint8_t lanes[kLanes * sizeof(float)] = {};
  memcpy(lanes, p, count * Weight<kType>::kBytes);
  return Weight<kType>::Load(lanes);
}

// ---- Matrix product.

constexpr size_t kPageBytes = 4096;
constexpr size_t kLineBytes = 64;
constexpr size_t kTilesAhead = 4;

// A tile of weight rows times x rows, in registers. Every sum runs over the
// columns in one order, a vector at a time and then across its lanes, however
// large the tile: this makes the product batch-invariant.
template <DType kType, bool kFetchAhead, int kRows, int kX>
HWY_INLINE void MatMulTile(const MatMulArgs& args, int64_t row, int64_t x_row) {
  const size_t cols = static_cast<size_t>(args.cols);
  const size_t row_bytes = cols * Weight<kType>::kBytes;
  const uint8_t* w = static_cast<const uint8_t*>(args.w) + row * row_bytes;
  const float* x = args.x + x_row * args.x_stride;

  VF sums[kRows][kX];
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) sums[r][i] = hn::Zero(kF);
  }
  // With kFetchAhead, a step also fetches as many bytes as it uses of the tiles
  // to come, in the order in which they lie in memory, into the second-level
  // cache.
  constexpr size_t kStepBytes = kRows * kLanes * Weight<kType>::kBytes;
  const uint8_t* ahead = w + kTilesAhead * kRows * row_bytes;

  size_t c = 0;
  for (; c + kLanes <= cols; c += kLanes) {
    if constexpr (kFetchAhead) {
      HWY_UNROLL(8)
      for (size_t at = 0; at < kStepBytes; at += kLineBytes) {
        __builtin_prefetch(ahead + at, /*rw=*/0, /*locality=*/2);
      }
      ahead += kStepBytes;
    }
    VF weights[kRows];
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      weights[r] =
          Weight<kType>::Load(w + r * row_bytes + c * Weight<kType>::kBytes);
    }
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      const VF xs = hn::LoadU(kF, x + i * args.x_stride + c);
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        sums[r][i] = hn::MulAdd(weights[r], xs, sums[r][i]);
      }
    }
  }
  if (c < cols) {
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      const VF xs = LoadPart(x + i * args.x_stride + c, cols - c);
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        const VF weights = LoadWeightPart<kType>(
            w + r * row_bytes + c * Weight<kType>::kBytes, cols - c);
        sums[r][i] = hn::MulAdd(weights, xs, sums[r][i]);
      }
    }
  }
  HWY_UNROLL(8)
  for (int i = 0; i < kX; ++i) {
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      args.y[(x_row + i) * args.y_stride + row + r] =
          hn::GetLane(hn::SumOfLanes(kF, sums[r][i]));
    }
  }
}

// All weight rows of the range for kX rows of x, which stay in the nearest
// cache meanwhile.
template <DType kType, bool kFetchAhead, int kX>
HWY_INLINE void MatMulRows(const MatMulArgs& args, int64_t row_begin,
                           int64_t row_end, int64_t x_row) {
  int64_t row = row_begin;
  for (; row + 4 <= row_end; row += 4) {
    MatMulTile<kType, kFetchAhead, 4, kX>(args, row, x_row);
  }
  for (; row < row_end; ++row)
    MatMulTile<kType, kFetchAhead, 1, kX>(args, row, x_row);
}

// As many rows of x at a time as fit, then the rest with smaller tiles.
template <DType kType, bool kFetchAhead, int kX>
HWY_INLINE void MatMulFrom(const MatMulArgs& args, int64_t row_begin,
                           int64_t row_end, int64_t x_row) {
  for (; x_row + kX <= args.num_x; x_row += kX) {
    MatMulRows<kType, kFetchAhead, kX>(args, row_begin, row_end, x_row);
  }
  if constexpr (kX > 1) {
    MatMulFrom<kType, kFetchAhead, kX - 1>(args, row_begin, row_end, x_row);
  }
}

// 4 x 6 sums, 4 weights and an x fit the 32 registers of AVX-512; the 16 of
// others hold 4 x 2.
constexpr int kMaxX = HWY_MAX_BYTES == 64 ? 6 : 2;

template <DType kType>
void MatMulOf(const MatMulArgs& args, int64_t row_begin, int64_t row_end) {
  // The processor foresees one stream of reads a page, so rows so short that a
  // tile has several in one are fetched ahead.
  if (args.cols * Weight<kType>::kBytes < kPageBytes) {
    MatMulFrom<kType, true, kMaxX>(args, row_begin, row_end, 0);
  } else {
    MatMulFrom<kType, false, kMaxX>(args, row_begin, row_end, 0);
  }
}

void MatMul(const MatMulArgs& args, int64_t row_begin, int64_t row_end) {
  switch (args.dtype) {
    case DType::kF32:
      return MatMulOf<DType::kF32>(args, row_begin, row_end);
    case DType::kF16:
      return MatMulOf<DType::kF16>(args, row_begin, row_end);
    case DType::kBF16:
      return MatMulOf<DType::kBF16>(args, row_begin, row_end);
  }
}

// ---- Element by element.

template <DType kType>
void ToFloatOf(const uint8_t* src, size_t n, float* dst) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    hn::StoreU(Weight<kType>::Load(src + i * Weight<kType>::kBytes), kF,
               dst + i);
  }
  if (i < n) {
    StorePart(LoadWeightPart<kType>(src + i * Weight<kType>::kBytes, n - i),
              dst + i, n - i);
  }
}

void ToFloat(DType dtype, const void* src, size_t n, float* dst) {
  const uint8_t* bytes = static_cast<const uint8_t*>(src);
  switch (dtype) {
    case DType::kF32:
      return ToFloatOf<DType::kF32>(bytes, n, dst);
    case DType::kF16:
      return ToFloatOf<DType::kF16>(bytes, n, dst);
    case DType::kBF16:
      return ToFloatOf<DType::kBF16>(bytes, n, dst);
  }
}

HWY_INLINE float Total(VF lanes) {
  return hn::GetLane(hn::SumOfLanes(kF, lanes));
}

void LayerNorm(const float* x, const float* weight, const float* bias,
               float eps, size_t n, float* y) {
  VF sum = hn::Zero(kF);
  ForEachVector(
      n, [&](size_t i, auto io) HWY_ATTR { sum = hn::Add(sum, io(x + i)); });
  const VF mean = hn::Set(kF, Total(sum) / static_cast<float>(n));

  VF squares = hn::Zero(kF);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const VF d = hn::Sub(hn::LoadU(kF, x + i), mean);
    squares = hn::MulAdd(d, d, squares);
  }
  if (i < n) {  // the missing lanes are zero in x, but not after the mean
    const VF d = hn::IfThenElseZero(hn::FirstN(kF, n - i),
                                    hn::Sub(LoadPart(x + i, n - i), mean));
    squares = hn::MulAdd(d, d, squares);
  }
  const float variance = Total(squares) / static_cast<float>(n);
  const VF scale =
      hn::Div(hn::Set(kF, 1.0f), hn::Sqrt(hn::Set(kF, variance + eps)));
  ForEachVector(n, [&](size_t at, auto io) HWY_ATTR {
    const VF normal = hn::Mul(hn::Sub(io(x + at), mean), scale);
    io(hn::MulAdd(normal, io(weight + at), io(bias + at)), y + at);
  });
}

void TokenShift(const float* x, const float* previous, const float* mix,
                size_t n, float* y) {
  const VF one = hn::Set(kF, 1.0f);
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    const VF m = io(mix + i);
    const VF old = hn::Mul(io(previous + i), hn::Sub(one, m));
    io(hn::MulAdd(io(x + i), m, old), y + i);
  });
}

HWY_INLINE VF Sigmoid(VF x) {
  const VF one = hn::Set(kF, 1.0f);
  return hn::Div(one, hn::Add(one, hn::Exp(kF, hn::Neg(x))));
}

void Wkv4(const Wkv4Args& a, size_t n) {
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    const VF k = io(a.k + i), v = io(a.v + i);
    const VF aa = io(a.aa + i), bb = io(a.bb + i), pp = io(a.pp + i);

    const VF now = hn::Add(io(a.bonus + i), k);
    VF q = hn::Max(pp, now);
    VF e1 = hn::Exp(kF, hn::Sub(pp, q)), e2 = hn::Exp(kF, hn::Sub(now, q));
    const VF wkv =
        hn::Div(hn::MulAdd(e1, aa, hn::Mul(e2, v)), hn::MulAdd(e1, bb, e2));
    const VF r = Sigmoid(io(a.r + i));

    const VF faded = hn::Add(pp, io(a.decay + i));
    q = hn::Max(faded, k);
    e1 = hn::Exp(kF, hn::Sub(faded, q));
    e2 = hn::Exp(kF, hn::Sub(k, q));
    io(hn::MulAdd(e1, aa, hn::Mul(e2, v)), a.aa + i);
    io(hn::MulAdd(e1, bb, e2), a.bb + i);
    io(q, a.pp + i);
    io(hn::Mul(r, wkv), a.out + i);
  });
}

void SquaredRelu(size_t n, float* x) {
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    const VF positive = hn::Max(io(x + i), hn::Zero(kF));
    io(hn::Mul(positive, positive), x + i);
  });
}

void AddTo(const float* y, size_t n, float* x) {
  ForEachVector(n, [&](size_t i, auto io)
                       HWY_ATTR { io(hn::Add(io(x + i), io(y + i)), x + i); });
}

void AddGated(const float* gate, const float* y, size_t n, float* x) {
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    io(hn::MulAdd(Sigmoid(io(gate + i)), io(y + i), io(x + i)), x + i);
  });
}

}  // namespace

const KernelTable* Table() {
  static constexpr KernelTable kTable = {
      .name = nullptr,
      .matmul = &MatMul,
      .to_float = &ToFloat,
      .layer_norm = &LayerNorm,
      .token_shift = &TokenShift,
      .wkv4 = &Wkv4,
      .squared_relu = &SquaredRelu,
      .add = &AddTo,
      .add_gated = &AddGated,
  };
  static const KernelTable named = [] {
    KernelTable table = kTable;
    table.name = hwy::TargetName(HWY_TARGET);
    return table;
  }();
  return &named;
}

}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
