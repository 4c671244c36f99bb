// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_GPTQ_HESSIAN_ACCUMULATOR_H_
#define RWKVD_TOOLS_RWKV_CONVERT_GPTQ_HESSIAN_ACCUMULATOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/base/aligned_buffer.h"
#include "core/base/thread_pool.h"
#include "core/kernels/kernel_table.h"
#include "core/model/matrix.h"
#include "core/model/rows.h"
#include "tools/rwkv_convert/gptq/gptq_factors.h"

namespace rwkvd {

// Accumulates, for chosen matrices, the sums from which GptqFactors are made:
// those of x^T x over the inputs x of a matrix in the rounded model, and those
// of the differences between the inputs of both models. Columns that are more
// than a span apart are taken to be uncorrelated, so that memory and time do
// not grow with the square of the widest matrix.
//
// The text passes through in pieces. For each piece, the caller reports the
// inputs of all matrices in the original model (AddOriginal), then those in the
// rounded model (AddRounded).
//
// The sums do not depend on the number of threads. Thread-compatible; used by
// one forward pass at a time.
class HessianAccumulator {
 public:
  static constexpr int64_t kSpanCols = 4096;

  // `kernels` and `pool` outlive the accumulator. `span_cols` is a multiple of
  // kGroupCols.
  HessianAccumulator(const KernelTable* kernels, ThreadPool* pool,
                     int64_t span_cols = kSpanCols)
      : kernels_(*kernels), pool_(*pool), span_cols_(span_cols) {}

  // Accumulates for the matrix whose weights begin at `weights` from now on.
  // `cols` is a multiple of kGroupCols. If the matrix's output is added to the
  // residual stream, `stream_width` is the width of the stream, and the matrix
  // will also correct the error of the stream; otherwise it is 0. Does nothing
  // if the matrix is tracked already.
  void Track(const std::byte* weights, int64_t cols, int64_t stream_width);

  // The inputs of `w` in the original model. Does nothing if `w` is not
  // tracked.
  void AddOriginal(const Matrix& w, Rows x);
  // The residual stream of the original model minus that of the rounded model,
  // before the outputs of the current piece are added: [n, stream_width]. It
  // stays valid until the next piece.
  void set_stream_error(Rows error) { stream_error_ = error; }
  // The inputs of `w` in the rounded model; as many rows as AddOriginal had.
  // Does nothing if `w` is not tracked.
  void AddRounded(const Matrix& w, Rows x);

  // Returns the factors of a tracked matrix, one per span; none if an input was
  // not finite. Consumes the sums: no more inputs of this matrix may follow.
  // Works on all spans in parallel, which needs five times the memory of the
  // sums while it runs.
  std::vector<GptqFactors> MakeFactors(const std::byte* weights);

 private:
  // The inputs are buffered; the products of so many tokens are added at once.
  static constexpr int64_t kDepth = 1024;

  // Padded, so that adjacent channels do not compete for the same cache sets.
  static constexpr int64_t kStride = kDepth + 16;

  // Buffered rows of up to kDepth tokens, transposed: each channel is
  // contiguous.
  struct Buffer {
    int64_t width = 0;
    AlignedVector<float> values;  // [width, kStride]

    explicit Buffer(int64_t width) : width(width), values(width * kStride) {}
    const float* Channel(int64_t index) const {
      return values.data() + index * kStride;
    }
  };
  struct Span {
    int64_t first_col;
    int64_t cols;
    std::vector<float> sums;          // [cols, cols], the lower triangle
    std::vector<float> input_error;   // [cols, cols]
    std::vector<float> stream_error;  // [stream width, cols]
  };
  struct Tracked {
    int64_t num = 0;              // rows in the sums
    int64_t num_buffered = 0;     // rows in the buffers
    std::vector<float> original;  // inputs in the original model, of the piece
    Buffer inputs, input_error, stream_error;
    std::vector<Span> spans;

    Tracked(int64_t cols, int64_t stream_width)
        : inputs(cols), input_error(cols), stream_error(stream_width) {}
  };

  // Appends the rows to a buffer that holds `num` tokens.
  void Append(Rows rows, int64_t num, Buffer& to);
  // Adds the products of the buffered rows to the sums and empties the buffers.
  void Flush(Tracked& tracked);
  void AddTo(Span& span, const Tracked& tracked);
  // Adds the products of channels [begin, begin + num) of `a`, at most one
  // tile, with channels [first_b, first_b + num_b) of the inputs, over the
  // tokens, to `sums`, whose rows have the given stride.
  void AddProducts(const Tracked& tracked, const Buffer& a, int64_t begin,
                   int64_t num, int64_t first_b, int64_t num_b, float* sums,
                   int64_t stride) const;

  const KernelTable& kernels_;
  ThreadPool& pool_;
  const int64_t span_cols_;
  Rows stream_error_;
  absl::flat_hash_map<const std::byte*, std::unique_ptr<Tracked>> tracked_;
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_GPTQ_HESSIAN_ACCUMULATOR_H_
