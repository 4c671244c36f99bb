// SPDX-License-Identifier: Apache-2.0
// How quantized weights are read, and what of them and of x a product takes at
// a time.

#if defined(RWKVD_CORE_KERNELS_QUANT_LAYOUT_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_QUANT_LAYOUT_INL_H_
#undef RWKVD_CORE_KERNELS_QUANT_LAYOUT_INL_H_
#else
#define RWKVD_CORE_KERNELS_QUANT_LAYOUT_INL_H_
#endif

#include "core/kernels/quant/dot-inl.h"
#include "core/kernels/quant/layout.h"
#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

constexpr int64_t kUnitCols = 4;
constexpr int64_t kUnitBytes = kPanelRows * kUnitCols;
constexpr int64_t kPanelGroupBytes = kPanelRows * kGroupCols;

// Bytes of a group of a panel, in whatever order.
constexpr int64_t GroupBytes(QuantType type) {
  return type == QuantType::kInt8 ? kPanelGroupBytes : kPanelGroupBytes / 2;
}

// ---- Weights.

// Four bits in the lower (upper) half of each byte, as the upper half.
HWY_INLINE VI LowerHalves(VI bytes) {
  return hn::And(hn::ShiftLeft<4>(bytes),
                 hn::Set(kI, static_cast<int32_t>(0xf0f0f0f0u)));
}
HWY_INLINE VI UpperHalves(VI bytes) {
  return hn::And(bytes, hn::Set(kI, static_cast<int32_t>(0xf0f0f0f0u)));
}

// The same as numbers of 0 to 15.
HWY_INLINE VI LowerNumbers(VI bytes) {
  return hn::And(bytes, hn::Set(kI, 0x0f0f0f0f));
}
HWY_INLINE VI UpperNumbers(VI bytes) {
  return LowerNumbers(hn::ShiftRight<4>(bytes));
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

// Vectors that hold a panel's rows, and the bytes of its units in each.
constexpr int kPanelVectors = kPanelRows / kLanes;
constexpr int64_t kVectorBytes = kLanes * 4;

// ---- Panels.

// Neighbouring panels, of 8 or 4 bits, from some group on.
struct Panels {
  const uint8_t* quants;
  int64_t quants_apart;  // bytes, from one panel to the next
  const uint16_t* scales;
  int64_t scales_apart;      // from one panel to the next
  int64_t scale_group_step;  // from one group to the next
};

// Some groups of some rows of x.
struct Columns {
  const QuantizedActivations* x;
  int64_t first_group;
  int64_t num_groups;
  int64_t first_row = 0;
  int64_t end_row = 0;
};

// As many bytes ahead as memory needs to answer.
constexpr int64_t kBytesAhead = 4096;

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
