// SPDX-License-Identifier: Apache-2.0
// Kernels that work element by element, or on one row: KernelTable says what
// each computes.

#if defined(RWKVD_CORE_KERNELS_ELEMENTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_ELEMENTWISE_INL_H_
#undef RWKVD_CORE_KERNELS_ELEMENTWISE_INL_H_
#else
#define RWKVD_CORE_KERNELS_ELEMENTWISE_INL_H_
#endif

#include "core/base/dtype.h"
#include "core/kernels/simd-inl.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

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
    default:
      return;  // quantized weights are never converted here
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
  // Lanes past the end are zero when loaded, but not after subtracting the
  // mean.
  if (i < n) {
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
    const VF value = io(x + i);
    const VF positive = KeepNaN(value, hn::Max(value, hn::Zero(kF)));
    io(hn::Mul(positive, positive), x + i);
  });
}

void SigmoidOf(size_t n, float* x) {
  ForEachVector(
      n, [&](size_t i, auto io) HWY_ATTR { io(Sigmoid(io(x + i)), x + i); });
}

void TanhOf(size_t n, float* x) {
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    const VF value = io(x + i);
    io(KeepNaN(value, hn::Tanh(kF, value)), x + i);
  });
}

void Decay6(size_t n, float* x) {
  // exp(80) is large enough for the outer exponential to be zero.
  const VF most = hn::Set(kF, 80.0f);
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    const VF value = io(x + i);
    const VF rate = hn::Exp(kF, hn::Min(value, most));
    io(KeepNaN(value, hn::Exp(kF, hn::Neg(rate))), x + i);
  });
}

void Decay7(size_t n, float* x) {
  const VF scale = hn::Set(kF, -0.60653065971263342f);  // -1 / sqrt(e)
  ForEachVector(n, [&](size_t i, auto io) HWY_ATTR {
    const VF value = io(x + i);
    io(KeepNaN(value, hn::Exp(kF, hn::Mul(scale, Sigmoid(value)))), x + i);
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
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
