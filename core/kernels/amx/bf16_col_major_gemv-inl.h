// SPDX-License-Identifier: Apache-2.0
// Matmul with column-major bf16 weights and one row of x, with vectors, giving
// results bit-identical to those of AMX.
//
// Tiles would need the weights transposed, which takes longer than multiplying
// them by one row of x. A tile instruction adds two partial sums to a sum, of a
// step's even and of its odd columns. Each of these starts at zero and is a
// chain of fused multiply-adds in the order of columns. The instruction rounds
// to nearest and treats subnormal inputs and results as zero (Intel's manual,
// TDPBF16PS). This kernel does the same with vectors whose lanes are rows of
// weights.

#if defined(RWKVD_CORE_KERNELS_AMX_BF16_COL_MAJOR_GEMV_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_AMX_BF16_COL_MAJOR_GEMV_INL_H_
#undef RWKVD_CORE_KERNELS_AMX_BF16_COL_MAJOR_GEMV_INL_H_
#else
#define RWKVD_CORE_KERNELS_AMX_BF16_COL_MAJOR_GEMV_INL_H_
#endif

#include "core/kernels/amx/bf16_gemm-inl.h"
#include "core/kernels/extensions-inl.h"
#include "core/kernels/gemm/matmul_args.h"
#include "core/kernels/gemm/tiling.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#ifdef RWKVD_DOT_AMX

// A line is the part of a column in one cache line: 32 rows of weights. Up to
// kMaxLines lines are added up together.
constexpr int64_t kLineRows = 32;
constexpr int64_t kMaxLines = Tiling::kAmxBf16GemvLines;
constexpr int64_t kMaxLineRows = kMaxLines * kLineRows;

// A mask of a line's rows, of which `rows` exist.
HWY_INLINE __mmask32 LineMask(int64_t rows) {
  return rows >= kLineRows ? ~__mmask32{0} : (__mmask32{1} << rows) - 1;
}

// The sums of a line's even rows and of its odd rows.
struct LineSums {
  __m512 of[2];
};

// Makes vector instructions treat subnormal numbers as zero, on this thread,
// while it exists.
class FlushSubnormals {
 public:
  FlushSubnormals() : saved_(_mm_getcsr()) {
    constexpr unsigned kResults = 1u << 15, kInputs = 1u << 6;
    _mm_setcsr(saved_ | kResults | kInputs);
  }
  ~FlushSubnormals() { _mm_setcsr(saved_); }
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

 private:
  const unsigned saved_;
};

// Prefetches the lines of all columns into L2, one line per call, in memory
// order.
class ColumnPrefetcher {
 public:
  ColumnPrefetcher(const uint8_t* first, int64_t stride, int64_t lines,
                   int64_t cols)
      : at_(first),
        skipped_(stride - lines * 64),
        lines_(lines),
        lines_left_(lines),
        cols_left_(cols) {}

  HWY_INLINE void PrefetchLine() {
    if (cols_left_ == 0) return;
    __builtin_prefetch(at_, 0, 2);
    at_ += 64;
    if (--lines_left_ > 0) return;
    at_ += skipped_;
    lines_left_ = lines_;
    --cols_left_;
  }

 private:
  const uint8_t* at_;
  const int64_t skipped_;  // bytes from a column's last line to the next column
  const int64_t lines_;    // per column
  int64_t lines_left_;
  int64_t cols_left_;
};

// Computes what a tile instruction adds of a step's even columns, or of its odd
// columns, for each part of x. `column` and `x` are those of the first column.
template <int kLines>
HWY_INLINE void SumHalfStep(const uint8_t* column, int64_t stride,
                            const __mmask32 (&masks)[kLines], const float* x,
                            ColumnPrefetcher* prefetcher,
                            LineSums (&sums)[kLines][kParts]) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  for (auto& line : sums) {
    for (LineSums& sum : line) sum.of[0] = sum.of[1] = _mm512_setzero_ps();
  }
  for (int64_t c = 0; c < kStepCols; c += 2, column += 2 * stride, x += 2) {
    HWY_UNROLL(2)
    for (int line = 0; line < kLines; ++line) {
      prefetcher->PrefetchLine();
      const __m512i w =
          _mm512_maskz_loadu_epi16(masks[line], column + line * 64);
      const __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
      const __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(w, upper));
      HWY_UNROLL(3)
      for (int part = 0; part < kParts; ++part) {
        const __m512 factor = _mm512_set1_ps(x[part * kStepCols]);
        LineSums& sum = sums[line][part];
        sum.of[0] = _mm512_fmadd_ps(even, factor, sum.of[0]);
        sum.of[1] = _mm512_fmadd_ps(odd, factor, sum.of[1]);
      }
    }
  }
}

// Adds a step to the sums of kLines lines, of which `rows` rows exist.
template <int kLines>
HWY_INLINE void AddStep(const uint8_t* column, int64_t stride, int64_t rows,
                        const float* x, ColumnPrefetcher* prefetcher,
                        LineSums* sums) {
  __mmask32 masks[kLines];
  for (int line = 0; line < kLines; ++line) {
    masks[line] = LineMask(rows - line * kLineRows);
  }
  LineSums even[kLines][kParts], odd[kLines][kParts];
  SumHalfStep(column, stride, masks, x, prefetcher, even);
  SumHalfStep(column + stride, stride, masks, x + 1, prefetcher, odd);
  HWY_UNROLL(2)
  for (int line = 0; line < kLines; ++line) {
    HWY_UNROLL(3)
    for (int part = 0; part < kParts; ++part) {
      HWY_UNROLL(2)
      for (int i = 0; i < 2; ++i) {
        const __m512 step =
            _mm512_add_ps(even[line][part].of[i], odd[line][part].of[i]);
        sums[line].of[i] = _mm512_add_ps(sums[line].of[i], step);
      }
    }
  }
}

// Writes the sums of a line, of which `rows` rows exist, to y.
HWY_INLINE void StoreLine(const LineSums& sums, int64_t rows, float* y) {
  const __mmask32 mask = LineMask(rows);
  const __m512i lower =
      _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i upper = _mm512_add_epi32(lower, _mm512_set1_epi32(8));
  _mm512_mask_storeu_ps(y, static_cast<__mmask16>(mask),
                        _mm512_permutex2var_ps(sums.of[0], lower, sums.of[1]));
  _mm512_mask_storeu_ps(y + 16, static_cast<__mmask16>(mask >> 16),
                        _mm512_permutex2var_ps(sums.of[0], upper, sums.of[1]));
}

// Elements [row, row + rows) of y, at most kMaxLineRows. `x` holds the parts of
// each step as f32. Not inline: the compiler must not move arithmetic out of
// the scope of the caller's FlushSubnormals.
HWY_NOINLINE void ColMajorGemvLines(const MatMulArgs& args, int64_t row,
                                    int64_t rows, const float* x) {
  const int64_t stride = args.w_stride * 2;
  const int64_t lines = (rows + kLineRows - 1) / kLineRows;
  // Prefetches one step ahead.
  ColumnPrefetcher prefetcher(WeightAt(args, row, 0), stride, lines, args.cols);
  for (int64_t i = 0; i < lines * kStepCols; ++i) prefetcher.PrefetchLine();
  LineSums sums[kMaxLines];
  for (LineSums& sum : sums) sum.of[0] = sum.of[1] = _mm512_setzero_ps();
  for (int64_t c = 0; c < args.cols; c += kStepCols, x += kParts * kStepCols) {
    const uint8_t* const column = WeightAt(args, row, c);
    int64_t line = 0;
    for (; line + 2 <= lines; line += 2) {
      AddStep<2>(column + line * 64, stride, rows - line * kLineRows, x,
                 &prefetcher, sums + line);
    }
    if (line == lines) continue;
    AddStep<1>(column + line * 64, stride, rows - line * kLineRows, x,
               &prefetcher, sums + line);
  }
  for (int64_t line = 0; line < lines; ++line) {
    const int64_t at = line * kLineRows;
    StoreLine(sums[line], rows - at, args.y + row + at);
  }
}

// Elements [row_begin, row_end) of y, for one row of x. The matrix has at most
// kMaxCols columns.
void Bf16ColMajorGemv(const MatMulArgs& args, int64_t row_begin,
                      int64_t row_end) {
  alignas(64) float x[kMaxCols * kParts];
  for (int64_t c = 0; c < args.cols; c += 16) {
    __m512 rest = _mm512_loadu_ps(args.x + c);
    float* const step = x + c / kStepCols * kStepCols * kParts + c % kStepCols;
    HWY_UNROLL(3)
    for (int part = 0; part < kParts; ++part) {
      _mm512_store_si512(step + part * kStepCols, TakePart(&rest));
    }
  }
  const FlushSubnormals flush;
  for (int64_t row = row_begin; row < row_end; row += kMaxLineRows) {
    ColMajorGemvLines(args, row, HWY_MIN(row_end - row, kMaxLineRows), x);
  }
}

#endif  // RWKVD_DOT_AMX

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
