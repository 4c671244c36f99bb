// SPDX-License-Identifier: Apache-2.0
// The recurrences of time mixing: RWKV-4 over channels, RWKV-5 to 7 over the
// matrix-valued state of a head. KernelTable gives the formulas.

#if defined(RWKVD_CORE_KERNELS_WKV_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_WKV_INL_H_
#undef RWKVD_CORE_KERNELS_WKV_INL_H_
#else
#define RWKVD_CORE_KERNELS_WKV_INL_H_
#endif

#include "core/kernels/gemm/tiling.h"
#include "core/kernels/simd-inl.h"
#include "core/kernels/wkv.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

// ---- RWKV-4: vectors of channels.

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
    e1 = KeepNaN(faded, hn::Exp(kF, hn::Sub(faded, q)));
    e2 = hn::Exp(kF, hn::Sub(k, q));
    io(hn::MulAdd(e1, aa, hn::Mul(e2, v)), a.aa + i);
    io(hn::MulAdd(e1, bb, e2), a.bb + i);
    io(q, a.pp + i);
    io(hn::Mul(r, wkv), a.out + i);
  });
}

// ---- RWKV-5 to 7: a matrix [n key][n value].

// Adjacent vectors of value channels that are updated together. The sum of each
// value channel runs over the key channels in order, however many vectors are
// updated together.
constexpr int kWkvVectors = Tiling::kWkvVectors;

// One token for value channels [j, j + kVectors * kLanes).
template <int kVectors, class Io>
HWY_INLINE void Wkv6Channels(const Wkv6Args& a, size_t n, size_t j, float bonus,
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
  // The bonus u acts on the diagonal only: v_j * sum over i of r_i u_i k_i.
  VF products = hn::Zero(kF);
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    products = hn::MulAdd(hn::Mul(io(a.r + i), io(a.bonus + i)), io(a.k + i),
                          products);
  });
  const float bonus = Total(products);
  size_t j = 0;
  for (; j + kWkvVectors * kLanes <= n; j += kWkvVectors * kLanes) {
    Wkv6Channels<kWkvVectors>(a, n, j, bonus, WholeVector());
  }
  for (; j + kLanes <= n; j += kLanes) {
    Wkv6Channels<1>(a, n, j, bonus, WholeVector());
  }
  if (j < n) Wkv6Channels<1>(a, n, j, bonus, PartOfVector{n - j});
}

// One token for value channels [j, j + kVectors * kLanes): first the sums of
// what is removed, then the update.
template <int kVectors, class Io>
HWY_INLINE void Wkv7Channels(const Wkv7Args& a, size_t n, size_t j, Io io) {
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
  for (; j + kWkvVectors * kLanes <= n; j += kWkvVectors * kLanes) {
    Wkv7Channels<kWkvVectors>(a, n, j, WholeVector());
  }
  for (; j + kLanes <= n; j += kLanes) Wkv7Channels<1>(a, n, j, WholeVector());
  if (j < n) Wkv7Channels<1>(a, n, j, PartOfVector{n - j});
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
