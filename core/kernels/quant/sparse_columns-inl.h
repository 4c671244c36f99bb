// SPDX-License-Identifier: Apache-2.0
// Quantized matmul with column blocks and few rows of x: column by column,
// without reading those whose activation is zero.

#if defined(RWKVD_CORE_KERNELS_QUANT_SPARSE_COLUMNS_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_QUANT_SPARSE_COLUMNS_INL_H_
#undef RWKVD_CORE_KERNELS_QUANT_SPARSE_COLUMNS_INL_H_
#else
#define RWKVD_CORE_KERNELS_QUANT_SPARSE_COLUMNS_INL_H_
#endif

#include <string.h>

#include "core/kernels/gemm/tiling.h"
#include "core/kernels/quant/activations.h"
#include "core/kernels/quant/column_blocks-inl.h"
#include "core/kernels/quant/dot-inl.h"
#include "core/kernels/quant/layout-inl.h"
#include "core/kernels/quant/layout.h"
#include "core/kernels/quant/matmul_args.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

// The columns of some groups whose activation is not zero. The columns of each
// group are padded to a multiple of four with columns whose activation is zero.
constexpr int64_t kListGroups = Tiling::kListGroups;
struct NonzeroColumns {
  uint16_t column[kListGroups * kGroupCols];  // counted from the first group
  int8_t x[kListGroups * kGroupCols];
  uint16_t end[kListGroups];  // end of each group in the arrays above
};

// Returns a bit for each of a group's activations: set if it is not zero.
HWY_INLINE uint64_t NonZeroBits(const int8_t* x) {
  const hn::Repartition<int8_t, DI> d;
  uint64_t bits = 0;
  uint8_t* to = reinterpret_cast<uint8_t*>(&bits);
  for (size_t i = 0; i < kGroupCols; i += hn::MaxLanes(d)) {
    const auto is_zero = hn::Eq(hn::LoadU(d, x + i), hn::Zero(d));
    hn::StoreMaskBits(d, hn::Not(is_zero), to + i / 8);
  }
  return bits;
}

// Lists the columns of `num_groups` groups, from group `first` on, for row
// `row` of x.
void ListNonzeroColumns(const QuantizedActivations& rows, int64_t row,
                        int64_t first, int64_t num_groups,
                        NonzeroColumns* list) {
  uint16_t n = 0;
  for (int64_t g = 0; g < num_groups; ++g) {
    const int8_t* const x = rows.high + rows.Index(row, first + g) * kGroupCols;
    uint64_t bits = NonZeroBits(x);
    if (bits == ~uint64_t{0}) {  // all columns: a shortcut for the loop below
      for (int64_t i = 0; i < kGroupCols; ++i) {
        list->column[n + i] = static_cast<uint16_t>(g * kGroupCols + i);
      }
      memcpy(list->x + n, x, kGroupCols);
      n += kGroupCols;
      bits = 0;
    }
    for (; bits != 0; bits &= bits - 1) {
      const int column = __builtin_ctzll(bits);
      list->column[n] = static_cast<uint16_t>(g * kGroupCols + column);
      list->x[n++] = x[column];
    }
    while (n % kQuadCols != 0) {
      list->column[n] = static_cast<uint16_t>(g * kGroupCols);
      list->x[n++] = 0;
    }
    list->end[g] = n;
  }
}

// Bytes of a column that are multiplied at a time.
constexpr int64_t kColumnVectors = Tiling::kColumnVectors;
constexpr int64_t kStepBytes = kColumnVectors * kVectorBytes;

// Sums of the rows in these bytes; int4: of the rows in the low nibbles, then
// of those in the high nibbles.
template <QuantType kType>
struct ColumnSums {
  static constexpr int kRowSets = kType == QuantType::kInt8 ? 1 : 2;
  FourVectors of[kColumnVectors][kRowSets];
};

template <QuantType kType>
HWY_INLINE void SetAll(VI value, ColumnSums<kType>* sums) {
  for (auto& sets : sums->of) {
    for (FourVectors& set : sets) set = {{value, value, value, value}};
  }
}

// Sets every sum of `to` to fn(the same sum of `from`, itself).
template <QuantType kType, class Fn>
HWY_INLINE void ForEachSum(const ColumnSums<kType>& from, ColumnSums<kType>* to,
                           Fn fn) {
  HWY_UNROLL(2)
  for (int64_t v = 0; v < kColumnVectors; ++v) {
    HWY_UNROLL(2)
    for (int set = 0; set < ColumnSums<kType>::kRowSets; ++set) {
      HWY_UNROLL(4)
      for (int j = 0; j < 4; ++j) {
        VI& sum = to->of[v][set].v[j];
        sum = fn(from.of[v][set].v[j], sum);
      }
    }
  }
}

// Adds the dot products of a quad with four columns of x, with the dot product
// type D.
template <class D, QuantType kType>
HWY_INLINE void AddQuad(const FourVectors& quad, typename D::X x,
                        FourVectors (&sums)[ColumnSums<kType>::kRowSets]) {
  HWY_UNROLL(4)
  for (int j = 0; j < 4; ++j) {
    VI& low = sums[0].v[j];
    if constexpr (kType == QuantType::kInt8) {
      low = D::Add(low, D::Weights(quad.v[j]), x);
    } else {
      VI& high = sums[1].v[j];
      low = D::Add(low, LowWeights<D>(quad.v[j]), x);
      high = D::Add(high, HighWeights<D>(quad.v[j]), x);
    }
  }
}

// Adds the columns [begin, end) of the list, the bytes of each from `at` on,
// with the dot product type D.
template <class D, QuantType kType>
HWY_INLINE void AddColumns(const uint8_t* columns, const NonzeroColumns& list,
                           int64_t begin, int64_t end, int64_t at,
                           ColumnSums<kType>* sums) {
  const int64_t last = list.end[kListGroups - 1] - kQuadCols;
  for (int64_t i = begin; i < end; i += kQuadCols) {
    const int64_t ahead = HWY_MIN(i + Tiling::kListPrefetchColumns, last);
    const uint8_t* p[kQuadCols];
    HWY_UNROLL(4)
    for (int j = 0; j < kQuadCols; ++j) {
      p[j] = columns + list.column[i + j] * kBlockColumnBytes + at;
      const uint8_t* const fetched =
          columns + list.column[ahead + j] * kBlockColumnBytes + at;
      for (int64_t line = 0; line < kStepBytes; line += 64) {
        if (at % 64 == 0) __builtin_prefetch(fetched + line, 0, 2);
      }
    }
    const auto x = D::FourColumns(list.x + i);
    HWY_UNROLL(2)
    for (int64_t v = 0; v < kColumnVectors; ++v) {
      const int64_t byte = v * kVectorBytes;
      AddQuad<D, kType>(
          Interleave(LoadBytes(p[0] + byte), LoadBytes(p[1] + byte),
                     LoadBytes(p[2] + byte), LoadBytes(p[3] + byte)),
          x, sums->of[v]);
    }
  }
}

// Computes the sums of one group: of the columns [begin, end) of the list.
template <QuantType kType>
HWY_INLINE void SumListedColumns(const uint8_t* columns,
                                 const NonzeroColumns& list, int64_t begin,
                                 int64_t end, int64_t at, int32_t offset,
                                 ColumnSums<kType>* sums) {
#ifdef RWKVD_DOT_NARROW
  if constexpr (kType == QuantType::kInt4) {
    using D = NarrowDot<4>;
    SetAll(hn::Zero(kI), sums);
    for (int64_t i = begin; i < end; i += D::kCols) {
      ColumnSums<kType> parts = {};
      SetAll(hn::Zero(kI), &parts);
      AddColumns<D>(columns, list, i, HWY_MIN(i + D::kCols, end), at, &parts);
      ForEachSum(parts, sums, [](VI part, VI sum) HWY_ATTR {
        return hn::Add(sum, D::SumOfHalves(part));
      });
    }
    const VI first = hn::Set(kI, offset);
    ForEachSum(*sums, sums, [first](VI sum, VI) HWY_ATTR {
      return hn::Add(hn::ShiftLeft<4>(sum), first);
    });
    return;
  }
#endif
  SetAll(Dot::InitialSum(offset), sums);
  AddColumns<Dot>(columns, list, begin, end, at, sums);
}

// Adds sums, in Interleave's order, times their scales to `totals`.
HWY_INLINE void AddToTotals(const FourVectors& sums, const uint16_t* scales,
                            float x_scale, float* totals) {
  const FourVectors ordered = ToRowOrder(sums);
  HWY_UNROLL(4)
  for (int j = 0; j < 4; ++j) {
    const VF both =
        hn::Mul(LoadScales(scales + j * kLanes), hn::Set(kF, x_scale));
    float* const to = totals + j * kLanes;
    hn::Store(
        hn::MulAdd(hn::ConvertTo(kF, ordered.v[j]), both, hn::Load(kF, to)), kF,
        to);
  }
}

// Does the same for the sums of the bytes from `at` on; `scales` and `totals`
// are those of the column block.
template <QuantType kType>
HWY_INLINE void AddToTotals(const ColumnSums<kType>& sums,
                            const uint16_t* scales, float x_scale, int64_t at,
                            float* totals) {
  for (int64_t v = 0; v < kColumnVectors; ++v, at += kVectorBytes) {
    int64_t row = RowAtByte<kType>(at);
    for (const FourVectors& set : sums.of[v]) {
      AddToTotals(set, scales + row, x_scale, totals + row);
      row += 64;
    }
  }
}

// Multiplies a column block by row `i` of x, without reading columns whose
// activation is zero.
template <QuantType kType>
void MultiplyColumnBlockSkipping(const QuantizedMatMulArgs& args, int64_t block,
                                 int64_t i) {
  const QuantizedWeights& w = args.w;
  constexpr int64_t kRows = PackedBlockRows(kType, QuantOrder::kColumnBlocks);
  const int64_t groups = args.x.groups();
  alignas(64) float totals[kRows] = {};
  NonzeroColumns list;
  for (int64_t first = 0; first < groups; first += kListGroups) {
    const int64_t some =
        groups - first < kListGroups ? groups - first : kListGroups;
    ListNonzeroColumns(args.x, i, first, some, &list);
    list.end[kListGroups - 1] = list.end[some - 1];
    const uint8_t* const columns =
        w.quants + (block * w.cols + first * kGroupCols) * kBlockColumnBytes;
    for (int64_t g = 0; g < some; ++g) {
      const int64_t begin = g == 0 ? 0 : list.end[g - 1];
      const int64_t end = list.end[g];
      if (begin == end) continue;  // the group would add zero
      const int64_t at = args.x.Index(i, first + g);
      const uint16_t* const scales =
          w.scales + (block * groups + first + g) * kRows;
      for (int64_t byte = 0; byte < kBlockColumnBytes; byte += kStepBytes) {
        ColumnSums<kType> sums = {};
        SumListedColumns(columns, list, begin, end, byte, args.x.offsets[at],
                         &sums);
        AddToTotals(sums, scales, args.x.scales[at], byte, totals);
      }
    }
  }
  const int64_t rows = HWY_MIN(w.rows - block * kRows, kRows);
  memcpy(args.y + i * args.y_stride + block * kRows, totals,
         rows * sizeof(float));
}

// Returns whether x has so few rows, with so many zeros, that skipping columns
// is faster.
bool SkipsColumns(const QuantizedActivations& x) {
  if (x.num_rows == 1) return true;
  if (x.num_rows > Tiling::kSkipColumnsMaxX) return false;
  int64_t columns = 0;
  for (int64_t g = 0; g < x.groups(); ++g) {
    for (int64_t i = 0; i < x.num_rows; ++i) {
      const int8_t* const values = x.high + x.Index(i, g) * kGroupCols;
      columns += __builtin_popcountll(NonZeroBits(values));
    }
  }
  return columns <= x.cols / 2;
}

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
