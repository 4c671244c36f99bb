// SPDX-License-Identifier: Apache-2.0
// Products of quantized weights that are stored by columns, and skip those
// whose x is zero.

#if defined(RWKVD_CORE_KERNELS_QUANT_COLUMN_BLOCKS_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_QUANT_COLUMN_BLOCKS_INL_H_
#undef RWKVD_CORE_KERNELS_QUANT_COLUMN_BLOCKS_INL_H_
#else
#define RWKVD_CORE_KERNELS_QUANT_COLUMN_BLOCKS_INL_H_
#endif

#include <string.h>

#include "core/kernels/quant/dot-inl.h"
#include "core/kernels/quant/layout-inl.h"
#include "core/kernels/quant/layout.h"
#include "core/kernels/quant/row_panels-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

// ---- From columns to panels.

// Four vectors of sums, or of units of four columns. Of kLanes * 4 rows, in two
// orders: of rows, or that in which Interleave leaves them, where vector j has
// in its 128-bit block b the rows 16 b + 4 j to 16 b + 4 j + 3.
struct Quads {
  VI v[4];
};

// Four columns of kLanes * 4 rows, a byte each, as a unit.
HWY_INLINE Quads Interleave(VI a, VI b, VI c, VI d) {
  const hn::Repartition<uint8_t, DI> d8;
  const hn::Repartition<uint16_t, DI> d16;
  const auto a8 = hn::BitCast(d8, a), b8 = hn::BitCast(d8, b),
             c8 = hn::BitCast(d8, c), e8 = hn::BitCast(d8, d);
  const auto ab0 = hn::BitCast(d16, hn::InterleaveLower(d8, a8, b8));
  const auto ab1 = hn::BitCast(d16, hn::InterleaveUpper(d8, a8, b8));
  const auto cd0 = hn::BitCast(d16, hn::InterleaveLower(d8, c8, e8));
  const auto cd1 = hn::BitCast(d16, hn::InterleaveUpper(d8, c8, e8));
  return {{hn::BitCast(kI, hn::InterleaveLower(d16, ab0, cd0)),
           hn::BitCast(kI, hn::InterleaveUpper(d16, ab0, cd0)),
           hn::BitCast(kI, hn::InterleaveLower(d16, ab1, cd1)),
           hn::BitCast(kI, hn::InterleaveUpper(d16, ab1, cd1))}};
}

// The same, from bytes at `p` of a block's columns.
HWY_INLINE Quads LoadUnit(const uint8_t* p) {
  return Interleave(LoadBytes(p), LoadBytes(p + kBlockBytes),
                    LoadBytes(p + 2 * kBlockBytes),
                    LoadBytes(p + 3 * kBlockBytes));
}

// From that order into the order of rows.
HWY_INLINE Quads InOrder(const Quads& q) {
#if HWY_MAX_BYTES == 64
  const __m512i a = _mm512_shuffle_i32x4(q.v[0].raw, q.v[1].raw, 0x44);
  const __m512i b = _mm512_shuffle_i32x4(q.v[2].raw, q.v[3].raw, 0x44);
  const __m512i c = _mm512_shuffle_i32x4(q.v[0].raw, q.v[1].raw, 0xee);
  const __m512i d = _mm512_shuffle_i32x4(q.v[2].raw, q.v[3].raw, 0xee);
  return {{VI{_mm512_shuffle_i32x4(a, b, 0x88)},
           VI{_mm512_shuffle_i32x4(a, b, 0xdd)},
           VI{_mm512_shuffle_i32x4(c, d, 0x88)},
           VI{_mm512_shuffle_i32x4(c, d, 0xdd)}}};
#elif HWY_MAX_BYTES == 32
  return {{VI{_mm256_permute2x128_si256(q.v[0].raw, q.v[1].raw, 0x20)},
           VI{_mm256_permute2x128_si256(q.v[2].raw, q.v[3].raw, 0x20)},
           VI{_mm256_permute2x128_si256(q.v[0].raw, q.v[1].raw, 0x31)},
           VI{_mm256_permute2x128_si256(q.v[2].raw, q.v[3].raw, 0x31)}}};
#else
  return q;
#endif
}

// The first of the rows in the block whose weights are at byte `at` of a
// column; of 4 bits, of the lower halves.
template <QuantType kType>
constexpr int64_t RowAtByte(int64_t at) {
  return kType == QuantType::kInt8 ? at : at / 64 * 128 + at % 64;
}

HWY_INLINE void StoreUnit(const Quads& unit, int64_t row, int64_t panels_apart,
                          VI flip, uint8_t* to) {
  const Quads ordered = InOrder(unit);
  HWY_UNROLL(4)
  for (int j = 0; j < 4; ++j, row += kLanes) {
    StoreBytes(
        hn::Xor(ordered.v[j], flip),
        to + row / kPanelRows * panels_apart + row % kPanelRows * kUnitCols);
  }
}

// Fetches what lies at bytes [at, at + kVectorBytes) of a unit's columns in the
// group after this one, in the order of memory.
HWY_INLINE void FetchNextGroup(const uint8_t* unit, int64_t at) {
  const uint8_t* const next = unit + kGroupCols * kBlockBytes + kUnitCols * at;
  for (int64_t line = 0; line < kUnitCols * kVectorBytes; line += 64) {
    __builtin_prefetch(next + line, 0, 2);
  }
}

// A group of a block's columns, as a group of each of its panels.
template <QuantType kType>
void ToPanels(const uint8_t* columns, int64_t panels_apart, VI flip,
              uint8_t* to) {
  for (int64_t c = 0; c < kGroupCols; c += kUnitCols) {
    for (int64_t at = 0; at < kBlockBytes; at += kVectorBytes) {
      const uint8_t* p = columns + c * kBlockBytes;
      FetchNextGroup(p, at);
      const Quads unit = LoadUnit(p + at);
      const int64_t row = RowAtByte<kType>(at);
      if constexpr (kType == QuantType::kInt8) {
        StoreUnit(unit, row, panels_apart, flip, to);
      } else {
        Quads lower = {}, upper = {};
        HWY_UNROLL(4)
        for (int j = 0; j < 4; ++j) {
          lower.v[j] = LowerHalves(unit.v[j]);
          upper.v[j] = UpperHalves(unit.v[j]);
        }
        StoreUnit(lower, row, panels_apart, flip, to);
        StoreUnit(upper, row + 64, panels_apart, flip, to);
      }
    }
    to += kUnitBytes;
  }
}

// The same of 4 bits, as panels of 4 bits.
void ToPanelsOfHalves(const uint8_t* columns, int64_t panels_apart,
                      uint8_t* to) {
  for (int64_t c = 0; c < kGroupCols; c += 2 * kUnitCols) {
    for (int64_t at = 0; at < kBlockBytes; at += kVectorBytes) {
      const uint8_t* p = columns + c * kBlockBytes;
      const uint8_t* q = p + kUnitCols * kBlockBytes;
      FetchNextGroup(p, at);
      FetchNextGroup(q, at);
      const Quads a = LoadUnit(p + at), b = LoadUnit(q + at);
      Quads lower = {}, upper = {};
      HWY_UNROLL(4)
      for (int j = 0; j < 4; ++j) {
        lower.v[j] = hn::Or(LowerNumbers(a.v[j]), LowerHalves(b.v[j]));
        upper.v[j] = hn::Or(UpperNumbers(a.v[j]), UpperHalves(b.v[j]));
      }
      const int64_t row = RowAtByte<QuantType::kInt4>(at);
      StoreUnit(lower, row, panels_apart, hn::Zero(kI), to);
      StoreUnit(upper, row + 64, panels_apart, hn::Zero(kI), to);
    }
    to += kUnitBytes;
  }
}

// Of some groups of a block as panels: within the second-level cache.
constexpr int64_t kBlockScratchBytes = 1 << 17;

// A block for many rows of x.
template <QuantType kType>
void MultiplyBlock(const QuantizedMatMulArgs& args, int64_t block) {
  const QuantizedWeights& w = args.w;
  constexpr int64_t kRows = PackedBlockRows(kType, QuantOrder::kColumnBlocks);
  constexpr int64_t kPanels = kRows / kPanelRows;
  constexpr int64_t kBytes = GroupBytes(kType);
  constexpr int64_t kGroups = kBlockScratchBytes / (kPanels * kBytes);
  const int64_t groups = args.x.groups();
  const int64_t rows = w.rows - block * kRows;
  const int64_t panels =
      rows >= kRows ? kPanels : (rows + kPanelRows - 1) / kPanelRows;
  alignas(64) uint8_t scratch[kBlockScratchBytes];
  for (int64_t g = 0; g < groups; g += kGroups) {
    const int64_t some = groups - g < kGroups ? groups - g : kGroups;
    const int64_t apart = some * kBytes;
    for (int64_t i = 0; i < some; ++i) {
      const uint8_t* const columns =
          w.quants + (block * w.cols + (g + i) * kGroupCols) * kBlockBytes;
      if constexpr (kType == QuantType::kInt4) {
        ToPanelsOfHalves(columns, apart, scratch + i * kBytes);
      } else {
        ToPanels<kType>(columns, apart, hn::Zero(kI), scratch + i * kBytes);
      }
    }
    MultiplyPanels<kType, false>(
        {.quants = scratch,
         .quants_apart = apart,
         .scales = w.scales + (block * groups + g) * kRows,
         .scales_apart = kPanelRows,
         .scale_group_step = kRows},
        panels, {&args.x, g, some}, g == 0, rows, args.y + block * kRows,
        args.y_stride);
  }
}

// ---- Column by column.

// The columns of some groups whose x is not zero. Those of a group are filled
// up to a multiple of four with ones whose x is zero.
constexpr int64_t kListGroups = 32;
struct ColumnList {
  uint16_t column[kListGroups * kGroupCols];  // from the first of the groups
  int8_t x[kListGroups * kGroupCols];
  uint16_t end[kListGroups];  // of each group's columns above
};

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

// Of row `row` of x, from group `first` on.
void ListColumns(const QuantizedActivations& rows, int64_t row, int64_t first,
                 int64_t num_groups, ColumnList* list) {
  uint16_t n = 0;
  for (int64_t g = 0; g < num_groups; ++g) {
    const int8_t* const x = rows.q + rows.At(row, first + g) * kGroupCols;
    uint64_t bits = NonZeroBits(x);
    if (bits == ~uint64_t{0}) {  // as below, in fewer steps
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
    while (n % kUnitCols != 0) {
      list->column[n] = static_cast<uint16_t>(g * kGroupCols);
      list->x[n++] = 0;
    }
    list->end[g] = n;
  }
}

// As many columns ahead as memory needs to answer.
constexpr int64_t kListedAhead = 32;

// So much of a column at a time. (Measured: with 16 registers, too, two vectors
// are faster than one, though the sums of 4 bits do not all fit.)
constexpr int64_t kColumnVectors = 2;
constexpr int64_t kColumnBytes = kColumnVectors * kVectorBytes;

// Sums of the rows of some vectors of a column's bytes; of 4 bits, those in the
// lower and in the upper halves.
template <QuantType kType>
struct ColumnSums {
  static constexpr int kHalves = kType == QuantType::kInt8 ? 1 : 2;
  Quads of[kColumnVectors][kHalves];
};

template <QuantType kType>
HWY_INLINE void SetAll(VI value, ColumnSums<kType>* sums) {
  for (auto& halves : sums->of) {
    for (Quads& half : halves) half = {{value, value, value, value}};
  }
}

// Puts fn(a sum of `from`, the one of `to`) into `to`.
template <QuantType kType, class Fn>
HWY_INLINE void ForEachSum(const ColumnSums<kType>& from, ColumnSums<kType>* to,
                           Fn fn) {
  HWY_UNROLL(2)
  for (int64_t v = 0; v < kColumnVectors; ++v) {
    HWY_UNROLL(2)
    for (int half = 0; half < ColumnSums<kType>::kHalves; ++half) {
      HWY_UNROLL(4)
      for (int j = 0; j < 4; ++j) {
        VI& sum = to->of[v][half].v[j];
        sum = fn(from.of[v][half].v[j], sum);
      }
    }
  }
}

template <class D, QuantType kType>
HWY_INLINE void AddUnit(const Quads& unit, typename D::X x,
                        Quads (&sums)[ColumnSums<kType>::kHalves]) {
  HWY_UNROLL(4)
  for (int j = 0; j < 4; ++j) {
    VI& lower = sums[0].v[j];
    if constexpr (kType == QuantType::kInt8) {
      lower = D::Add(lower, D::Weights(unit.v[j]), x);
    } else {
      VI& upper = sums[1].v[j];
      lower = D::Add(lower, Lower<D>(unit.v[j]), x);
      upper = D::Add(upper, Upper<D>(unit.v[j]), x);
    }
  }
}

// Adds columns [begin, end) of the list, the bytes of each from `at` on, in
// form D.
template <class D, QuantType kType>
HWY_INLINE void AddColumns(const uint8_t* columns, const ColumnList& list,
                           int64_t begin, int64_t end, int64_t at,
                           ColumnSums<kType>* sums) {
  const int64_t last = list.end[kListGroups - 1] - kUnitCols;
  for (int64_t i = begin; i < end; i += kUnitCols) {
    const int64_t ahead = HWY_MIN(i + kListedAhead, last);
    const uint8_t* p[kUnitCols];
    HWY_UNROLL(4)
    for (int j = 0; j < kUnitCols; ++j) {
      p[j] = columns + list.column[i + j] * kBlockBytes + at;
      const uint8_t* const fetched =
          columns + list.column[ahead + j] * kBlockBytes + at;
      for (int64_t line = 0; line < kColumnBytes; line += 64) {
        if (at % 64 == 0) __builtin_prefetch(fetched + line, 0, 2);
      }
    }
    const auto x = D::Columns(list.x + i);
    HWY_UNROLL(2)
    for (int64_t v = 0; v < kColumnVectors; ++v) {
      const int64_t byte = v * kVectorBytes;
      AddUnit<D, kType>(
          Interleave(LoadBytes(p[0] + byte), LoadBytes(p[1] + byte),
                     LoadBytes(p[2] + byte), LoadBytes(p[3] + byte)),
          x, sums->of[v]);
    }
  }
}

// A group's sums: of its columns [begin, end) of the list.
template <QuantType kType>
HWY_INLINE void SumColumns(const uint8_t* columns, const ColumnList& list,
                           int64_t begin, int64_t end, int64_t at,
                           int32_t offset, ColumnSums<kType>* sums) {
#ifdef RWKVD_DOT_HALVES
  if constexpr (kType == QuantType::kInt4) {
    SetAll(hn::Zero(kI), sums);
    for (int64_t i = begin; i < end; i += HalvesDot::kCols) {
      ColumnSums<kType> parts = {};
      SetAll(hn::Zero(kI), &parts);
      AddColumns<HalvesDot>(columns, list, i,
                            HWY_MIN(i + HalvesDot::kCols, end), at, &parts);
      ForEachSum(parts, sums, [](VI part, VI sum) HWY_ATTR {
        return hn::Add(sum, HalvesDot::Both(part));
      });
    }
    const VI first = hn::Set(kI, offset);
    ForEachSum(*sums, sums, [first](VI sum, VI) HWY_ATTR {
      return hn::Add(hn::ShiftLeft<4>(sum), first);
    });
    return;
  }
#endif
  SetAll(Dot::First(offset), sums);
  AddColumns<Dot>(columns, list, begin, end, at, sums);
}

HWY_INLINE void AddToTotals(const Quads& sums, const uint16_t* scales,
                            float x_scale, float* totals) {
  const Quads ordered = InOrder(sums);
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

// Of the bytes from `at` on; `scales` and `totals` are those of the block.
template <QuantType kType>
HWY_INLINE void AddToTotals(const ColumnSums<kType>& sums,
                            const uint16_t* scales, float x_scale, int64_t at,
                            float* totals) {
  for (int64_t v = 0; v < kColumnVectors; ++v, at += kVectorBytes) {
    int64_t row = RowAtByte<kType>(at);
    for (const Quads& half : sums.of[v]) {
      AddToTotals(half, scales + row, x_scale, totals + row);
      row += 64;
    }
  }
}

// A block for row `i` of x.
template <QuantType kType>
void MultiplyBlockSparse(const QuantizedMatMulArgs& args, int64_t block,
                         int64_t i) {
  const QuantizedWeights& w = args.w;
  constexpr int64_t kRows = PackedBlockRows(kType, QuantOrder::kColumnBlocks);
  const int64_t groups = args.x.groups();
  alignas(64) float totals[kRows] = {};
  ColumnList list;
  for (int64_t first = 0; first < groups; first += kListGroups) {
    const int64_t some =
        groups - first < kListGroups ? groups - first : kListGroups;
    ListColumns(args.x, i, first, some, &list);
    list.end[kListGroups - 1] = list.end[some - 1];
    const uint8_t* const columns =
        w.quants + (block * w.cols + first * kGroupCols) * kBlockBytes;
    for (int64_t g = 0; g < some; ++g) {
      const int64_t begin = g == 0 ? 0 : list.end[g - 1];
      const int64_t end = list.end[g];
      if (begin == end) continue;  // would add zero to each total
      const int64_t at = args.x.At(i, first + g);
      const uint16_t* const scales =
          w.scales + (block * groups + first + g) * kRows;
      for (int64_t byte = 0; byte < kBlockBytes; byte += kColumnBytes) {
        ColumnSums<kType> sums = {};
        SumColumns(columns, list, begin, end, byte, args.x.offsets[at], &sums);
        AddToTotals(sums, scales, args.x.scales[at], byte, totals);
      }
    }
  }
  const int64_t rows = HWY_MIN(w.rows - block * kRows, kRows);
  memcpy(args.y + i * args.y_stride + block * kRows, totals,
         rows * sizeof(float));
}

// Whether rows of x are so few, and of so many zeros, that column by column is
// the faster way.
bool IsSparse(const QuantizedActivations& x) {
  constexpr int64_t kMostRows = 8;
  if (x.num == 1) return true;
  if (x.num > kMostRows) return false;
  int64_t columns = 0;
  for (int64_t g = 0; g < x.groups(); ++g) {
    for (int64_t i = 0; i < x.num; ++i) {
      const int8_t* const q = x.q + x.At(i, g) * kGroupCols;
      columns += __builtin_popcountll(NonZeroBits(q));
    }
  }
  return columns <= x.cols / 2;
}

template <QuantType kType>
void MultiplyBlocks(const QuantizedMatMulArgs& args, int64_t begin,
                    int64_t end) {
  const bool is_sparse = IsSparse(args.x);
  for (int64_t block = begin; block < end; ++block) {
    if (!is_sparse) {
      MultiplyBlock<kType>(args, block);
      continue;
    }
    for (int64_t i = 0; i < args.x.num; ++i) {
      MultiplyBlockSparse<kType>(args, block, i);
    }
  }
}

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
