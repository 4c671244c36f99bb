// SPDX-License-Identifier: Apache-2.0
// Access to quantized weights, and the parts of the weights and of x that a
// kernel multiplies at a time.

#if defined(RWKVD_CORE_KERNELS_QUANT_LAYOUT_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_QUANT_LAYOUT_INL_H_
#undef RWKVD_CORE_KERNELS_QUANT_LAYOUT_INL_H_
#else
#define RWKVD_CORE_KERNELS_QUANT_LAYOUT_INL_H_
#endif

#include "core/kernels/quant/activations.h"
#include "core/kernels/quant/dot-inl.h"
#include "core/kernels/quant/layout.h"
#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

// A quad: four adjacent columns of a panel's rows, a byte each.
constexpr int64_t kQuadCols = 4;
constexpr int64_t kQuadBytes = kPanelRows * kQuadCols;

// Bytes of a block: one group of a panel's rows, in either order.
constexpr int64_t kInt8BlockBytes = kPanelRows * kGroupCols;
constexpr int64_t BlockBytes(QuantType type) {
  return type == QuantType::kInt8 ? kInt8BlockBytes : kInt8BlockBytes / 2;
}

// ---- Weights.

// The low (high) nibbles of all bytes times 16: int4 weights as int8.
HWY_INLINE VI LowNibblesTimes16(VI bytes) {
  return hn::And(hn::ShiftLeft<4>(bytes),
                 hn::Set(kI, static_cast<int32_t>(0xf0f0f0f0u)));
}
HWY_INLINE VI HighNibblesTimes16(VI bytes) {
  return hn::And(bytes, hn::Set(kI, static_cast<int32_t>(0xf0f0f0f0u)));
}

// The low (high) nibbles of all bytes as numbers of 0 to 15.
HWY_INLINE VI LowNibbles(VI bytes) {
  return hn::And(bytes, hn::Set(kI, 0x0f0f0f0f));
}
HWY_INLINE VI HighNibbles(VI bytes) {
  return LowNibbles(hn::ShiftRight<4>(bytes));
}

// The int4 weights in the low (high) nibbles of `bytes`, as the dot product
// type D takes them.
template <class D>
HWY_INLINE typename D::W LowWeights(VI bytes) {
  if constexpr (D::kTakesNibbles) {
    return LowNibbles(bytes);
  } else {
    return D::Weights(LowNibblesTimes16(bytes));
  }
}
template <class D>
HWY_INLINE typename D::W HighWeights(VI bytes) {
  if constexpr (D::kTakesNibbles) {
    return HighNibbles(bytes);
  } else {
    return D::Weights(HighNibblesTimes16(bytes));
  }
}

HWY_INLINE VI LoadBytes(const uint8_t* p) {
  return hn::LoadU(kI, reinterpret_cast<const int32_t*>(p));
}
HWY_INLINE void StoreBytes(VI bytes, uint8_t* p) {
  hn::StoreU(bytes, kI, reinterpret_cast<int32_t*>(p));
}

HWY_INLINE VF LoadScales(const uint16_t* scales) {
  return Weight<DType::kBF16>::Load(reinterpret_cast<const uint8_t*>(scales));
}

// Vectors that hold a quad of a panel, and bytes of each.
constexpr int kPanelVectors = kPanelRows / kLanes;
constexpr int64_t kVectorBytes = kLanes * 4;

// ---- Parts of a matmul.

// A run of adjacent int8 or int4 panels, starting at a group.
struct Panels {
  const uint8_t* quants;
  int64_t quants_stride;  // bytes from one panel to the next
  const uint16_t* scales;
  int64_t scales_stride;        // scales from one panel to the next
  int64_t scales_group_stride;  // scales from one group to the next
};

// A slice of quantized activations: rows [first_row, end_row), groups
// [first_group, first_group + num_groups).
struct ActivationSlice {
  const QuantizedActivations* x;
  int64_t first_group;
  int64_t num_groups;
  int64_t first_row = 0;
  int64_t end_row = 0;
};

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
