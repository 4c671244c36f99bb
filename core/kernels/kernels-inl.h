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

// The sum of a vector's lanes: the upper half is added to the lower until one
// is left.
HWY_INLINE float Total(VF lanes) {
  return hn::GetLane(hn::SumOfLanes(kF, lanes));
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
  const size_t row_bytes = args.w_stride * Weight<kType>::kBytes;
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
      args.y[(x_row + i) * args.y_stride + row + r] = Total(sums[r][i]);
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

// `kLanes` rows of the product, or as many as `io` takes, for one row of x,
// from weights that are stored as columns. Keeps the sums that MatMulTile has
// in the lanes of one vector in a vector each, and adds them up as Total does.
template <DType kType, class Load>
HWY_INLINE VF MatMulColumns(const MatMulArgs& args, const uint8_t* w,
                            const float* x, Load load) {
  const size_t cols = static_cast<size_t>(args.cols);
  const size_t stride = args.w_stride * Weight<kType>::kBytes;
  VF sums[kLanes];
  HWY_UNROLL(16)
  for (size_t l = 0; l < kLanes; ++l) sums[l] = hn::Zero(kF);
  size_t c = 0;
  for (; c + kLanes <= cols; c += kLanes) {
    HWY_UNROLL(16)
    for (size_t l = 0; l < kLanes; ++l) {
      const VF weights = load(w + (c + l) * stride);
      sums[l] = hn::MulAdd(weights, hn::Set(kF, x[c + l]), sums[l]);
    }
  }
  for (size_t l = 0; c + l < cols; ++l) {
    const VF weights = load(w + (c + l) * stride);
    sums[l] = hn::MulAdd(weights, hn::Set(kF, x[c + l]), sums[l]);
  }
  HWY_UNROLL(4)
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    HWY_UNROLL(8)
    for (size_t l = 0; l < half; ++l) {
      sums[l] = hn::Add(sums[l], sums[l + half]);
    }
  }
  return sums[0];
}

template <DType kType>
void MatMulTransposedOf(const MatMulArgs& args, int64_t row_begin,
                        int64_t row_end) {
  const int64_t lanes = kLanes;
  for (int64_t row = row_begin; row < row_end; row += lanes) {
    const uint8_t* w =
        static_cast<const uint8_t*>(args.w) + row * Weight<kType>::kBytes;
    const int64_t count = row_end - row;
    for (int64_t i = 0; i < args.num_x; ++i) {
      const float* x = args.x + i * args.x_stride;
      float* y = args.y + i * args.y_stride + row;
      if (count >= lanes) {
        const auto load = [](const uint8_t* p)
                              HWY_ATTR { return Weight<kType>::Load(p); };
        hn::StoreU(MatMulColumns<kType>(args, w, x, load), kF, y);
      } else {
        const auto load = [count](const uint8_t* p) HWY_ATTR {
          return LoadWeightPart<kType>(p, count);
        };
        StorePart(MatMulColumns<kType>(args, w, x, load), y, count);
      }
    }
  }
}

template <DType kType>
void MatMulOf(const MatMulArgs& args, int64_t row_begin, int64_t row_end) {
  if (args.transposed) {
    return MatMulTransposedOf<kType>(args, row_begin, row_end);
  }
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
  // Beyond this, Highway's exponential knows no bounds; the result is 0.
  const VF most = hn::Set(kF, 88.0f);
  return hn::Div(one, hn::Add(one, hn::Exp(kF, hn::Min(hn::Neg(x), most))));
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

// ---- Recurrences over matrices.

// A stretch is so many neighbouring vectors of value channels, enough to keep
// the multipliers busy. However channels are grouped, the sum of each runs over
// the keys in order.
constexpr int kStretch = 4;

template <int kVectors, class Io>
HWY_INLINE void Wkv6Stretch(const Wkv6Args& a, size_t n, size_t j, float bonus,
                            Io io) {
  VF v[kVectors], sums[kVectors];
  HWY_UNROLL(4)
  for (int m = 0; m < kVectors; ++m) {
    v[m] = io(a.v + j + m * kLanes);
    sums[m] = hn::Mul(v[m], hn::Set(kF, bonus));
  }
  for (size_t i = 0; i < n; ++i) {
    float* row = a.state + i * n + j;
    const VF r = hn::Set(kF, a.r[i]), k = hn::Set(kF, a.k[i]),
             w = hn::Set(kF, a.decay[i]);
    HWY_UNROLL(4)
    for (int m = 0; m < kVectors; ++m) {
      const VF s = io(row + m * kLanes);
      sums[m] = hn::MulAdd(r, s, sums[m]);
      io(hn::MulAdd(w, s, hn::Mul(k, v[m])), row + m * kLanes);
    }
  }
  HWY_UNROLL(4)
  for (int m = 0; m < kVectors; ++m) io(sums[m], a.out + j + m * kLanes);
}

void Wkv6(const Wkv6Args& a, size_t n) {
  // u acts on the diagonal: sum over i of r_i u_i k_i, times v_j.
  VF products = hn::Zero(kF);
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    products = hn::MulAdd(hn::Mul(io(a.r + i), io(a.bonus + i)), io(a.k + i),
                          products);
  });
  const float bonus = Total(products);
  size_t j = 0;
  for (; j + kStretch * kLanes <= n; j += kStretch * kLanes) {
    Wkv6Stretch<kStretch>(a, n, j, bonus, WholeVector());
  }
  for (; j + kLanes <= n; j += kLanes) {
    Wkv6Stretch<1>(a, n, j, bonus, WholeVector());
  }
  if (j < n) Wkv6Stretch<1>(a, n, j, bonus, PartOfVector{n - j});
}

template <int kVectors, class Io>
HWY_INLINE void Wkv7Stretch(const Wkv7Args& a, size_t n, size_t j, Io io) {
  VF v[kVectors], removed[kVectors], sums[kVectors];
  HWY_UNROLL(4)
  for (int m = 0; m < kVectors; ++m) {
    v[m] = io(a.v + j + m * kLanes);
    removed[m] = hn::Zero(kF);
    sums[m] = hn::Zero(kF);
  }
  for (size_t i = 0; i < n; ++i) {
    const float* row = a.state + i * n + j;
    const VF kk = hn::Set(kF, a.kk[i]);
    HWY_UNROLL(4)
    for (int m = 0; m < kVectors; ++m) {
      removed[m] = hn::MulAdd(kk, io(row + m * kLanes), removed[m]);
    }
  }
  for (size_t i = 0; i < n; ++i) {
    float* row = a.state + i * n + j;
    const VF r = hn::Set(kF, a.r[i]), k = hn::Set(kF, a.k[i]),
             w = hn::Set(kF, a.decay[i]), b = hn::Set(kF, a.kk[i] * a.a[i]);
    HWY_UNROLL(4)
    for (int m = 0; m < kVectors; ++m) {
      const VF kept =
          hn::NegMulAdd(b, removed[m], hn::Mul(w, io(row + m * kLanes)));
      const VF s = hn::MulAdd(k, v[m], kept);
      sums[m] = hn::MulAdd(r, s, sums[m]);
      io(s, row + m * kLanes);
    }
  }
  HWY_UNROLL(4)
  for (int m = 0; m < kVectors; ++m) io(sums[m], a.out + j + m * kLanes);
}

void Wkv7(const Wkv7Args& a, size_t n) {
  size_t j = 0;
  for (; j + kStretch * kLanes <= n; j += kStretch * kLanes) {
    Wkv7Stretch<kStretch>(a, n, j, WholeVector());
  }
  for (; j + kLanes <= n; j += kLanes) Wkv7Stretch<1>(a, n, j, WholeVector());
  if (j < n) Wkv7Stretch<1>(a, n, j, PartOfVector{n - j});
}

// ---- More, element by element.

void AddTo(const float* y, size_t n, float* x) {
  ForEachVector(n, [&](size_t i, auto io)
                       HWY_ATTR { io(hn::Add(io(x + i), io(y + i)), x + i); });
}

void MulTo(const float* y, size_t n, float* x) {
  ForEachVector(n, [&](size_t i, auto io)
                       HWY_ATTR { io(hn::Mul(io(x + i), io(y + i)), x + i); });
}

void Sub(const float* a, const float* b, size_t n, float* y) {
  ForEachVector(n, [&](size_t i, auto io)
                       HWY_ATTR { io(hn::Sub(io(a + i), io(b + i)), y + i); });
}

void MulAdd(const float* a, const float* b, const float* c, size_t n,
            float* y) {
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    io(hn::MulAdd(io(b + i), io(c + i), io(a + i)), y + i);
  });
}

void Lerp(const float* target, const float* amount, size_t n, float* x) {
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    const VF from = io(x + i);
    io(hn::MulAdd(hn::Sub(io(target + i), from), io(amount + i), from), x + i);
  });
}

void AddGated(const float* gate, const float* y, size_t n, float* x) {
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    io(hn::MulAdd(Sigmoid(io(gate + i)), io(y + i), io(x + i)), x + i);
  });
}

void MulSilu(const float* gate, size_t n, float* x) {
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    const VF g = io(gate + i);
    io(hn::Mul(io(x + i), hn::Mul(g, Sigmoid(g))), x + i);
  });
}

void SquaredRelu(size_t n, float* x) {
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    const VF positive = hn::Max(io(x + i), hn::Zero(kF));
    io(hn::Mul(positive, positive), x + i);
  });
}

void SigmoidOf(size_t n, float* x) {
  ForEachVector(
      n, [&](size_t i, auto io) HWY_ATTR { io(Sigmoid(io(x + i)), x + i); });
}

void TanhOf(size_t n, float* x) {
  ForEachVector(n, [&](size_t i, auto io)
                       HWY_ATTR { io(hn::Tanh(kF, io(x + i)), x + i); });
}

void Decay6(size_t n, float* x) {
  // Where exp(80) is large enough to be infinite for the outer exponential.
  const VF most = hn::Set(kF, 80.0f);
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    const VF rate = hn::Exp(kF, hn::Min(io(x + i), most));
    io(hn::Exp(kF, hn::Neg(rate)), x + i);
  });
}

void Decay7(size_t n, float* x) {
  const VF scale = hn::Set(kF, -0.60653065971263342f);  // -1 / sqrt(e)
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    io(hn::Exp(kF, hn::Mul(scale, Sigmoid(io(x + i)))), x + i);
  });
}

void Normalize(size_t n, float* x) {
  VF squares = hn::Zero(kF);
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    const VF value = io(x + i);
    squares = hn::MulAdd(value, value, squares);
  });
  const VF length =
      hn::Max(hn::Sqrt(hn::Set(kF, Total(squares))), hn::Set(kF, 1e-12f));
  ForEachVector(n, [&](size_t i, auto io)
                       HWY_ATTR { io(hn::Div(io(x + i), length), x + i); });
}

void ScaleKey(const float* a, const float* mix, size_t n, float* k) {
  const VF one = hn::Set(kF, 1.0f);
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    const VF factor = hn::MulAdd(hn::Sub(io(a + i), one), io(mix + i), one);
    io(hn::Mul(io(k + i), factor), k + i);
  });
}

void AddBonus(const float* r, const float* k, const float* weight,
              const float* v, size_t n, float* x) {
  VF products = hn::Zero(kF);
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    products =
        hn::MulAdd(hn::Mul(io(r + i), io(k + i)), io(weight + i), products);
  });
  const VF bonus = hn::Set(kF, Total(products));
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    io(hn::MulAdd(bonus, io(v + i), io(x + i)), x + i);
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
      .wkv6 = &Wkv6,
      .wkv7 = &Wkv7,
      .add = &AddTo,
      .mul = &MulTo,
      .sub = &Sub,
      .mul_add = &MulAdd,
      .lerp = &Lerp,
      .add_gated = &AddGated,
      .mul_silu = &MulSilu,
      .squared_relu = &SquaredRelu,
      .sigmoid = &SigmoidOf,
      .tanh = &TanhOf,
      .decay6 = &Decay6,
      .decay7 = &Decay7,
      .normalize = &Normalize,
      .scale_key = &ScaleKey,
      .add_bonus = &AddBonus,
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
