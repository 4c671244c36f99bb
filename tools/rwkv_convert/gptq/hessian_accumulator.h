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

// Adds up, for chosen matrices, what a GptqFactors is made of: products of
// each two of their inputs in a rounded network, and of those with what the
// inputs are in the original. Inputs further apart than a span are taken for
// independent, so that memory and time do not grow with the square of the
// widest matrix.
//
// The same tokens are shown to it piece by piece: first the inputs of all
// matrices in the original, then in the rounded one.
//
// The same sums on any number of threads. Thread-compatible; used by one
// Forward at a time.
class HessianAccumulator {
 public:
  static constexpr int64_t kSpanCols = 4096;

  // `kernels` and `pool` outlive it; `span_cols` is a multiple of kGroupCols.
  HessianAccumulator(const KernelTable* kernels, ThreadPool* pool,
                     int64_t span_cols = kSpanCols)
      : kernels_(*kernels), pool_(*pool), span_cols_(span_cols) {}

  // From now on, for the matrix whose weights lie at `weights`; `cols` is a
  // multiple of kGroupCols. If its product is added to the residual stream,
  // `stream_width` is that of the stream, else 0: then it shall make up for
  // what the stream lacks, too. Once more for the same matrix: nothing.
  void Watch(const std::byte* weights, int64_t cols, int64_t stream_width);

  // The inputs of `w` in the original, if it is watched.
  void OnOriginal(const Matrix& w, Rows x);
  // What the original's stream, before the piece's products are added to it,
  // is larger by: [n, stream_width]; stays until the next piece.
  void set_stream_lack(Rows lack) { stream_lack_ = lack; }
  // The inputs of `w` in the rounded network; as many rows as OnOriginal had.
  void OnRounded(const Matrix& w, Rows x);

  // For a watched matrix, by spans; empty: an input was not finite. Takes the
  // sums along: no more is to be shown for this matrix. Makes them side by
  // side, with five times the memory of the sums for a while.
  std::vector<GptqFactors> MakeFactors(const std::byte* weights);

 private:
  // Tokens whose products are added up at a time.
  static constexpr int64_t kDepth = 1024;

  // Apart so much that caches have room for neighbours.
  static constexpr int64_t kStride = kDepth + 16;

  // Numbers of up to kDepth tokens, those of a channel one behind another.
  struct Gathered {
    int64_t width = 0;
    AlignedVector<float> values;  // [width, kStride]

    explicit Gathered(int64_t width) : width(width), values(width * kStride) {}
    const float* Channel(int64_t index) const {
      return values.data() + index * kStride;
    }
  };
  struct Span {
    int64_t first_col;
    int64_t cols;
    std::vector<float> sums;    // [cols, cols], the lower triangle
    std::vector<float> wanted;  // [cols, cols]
    std::vector<float> added;   // [stream width, cols]
  };
  struct Watched {
    int64_t num = 0;              // rows of x that are added up
    int64_t num_gathered = 0;     // those that are not yet
    std::vector<float> original;  // of the piece
    Gathered inputs, lack, stream_lack;
    std::vector<Span> spans;

    Watched(int64_t cols, int64_t stream_width)
        : inputs(cols), lack(cols), stream_lack(stream_width) {}
  };

  // Puts the rows behind the `num` tokens that `to` has.
  void Gather(Rows rows, int64_t num, Gathered& to);
  // Adds up what has been gathered.
  void AddUp(Watched& watched);
  void AddUp(const Watched& watched, Span& span);
  // Adds the products of `num` channels, a tile at most, from `begin` on of `a`
  // with `num_b` from `first_b` on of the inputs, over the tokens, to `sums`,
  // rows `stride` apart.
  void AddProducts(const Watched& watched, const Gathered& a, int64_t begin,
                   int64_t num, int64_t first_b, int64_t num_b, float* sums,
                   int64_t stride) const;

  const KernelTable& kernels_;
  ThreadPool& pool_;
  const int64_t span_cols_;
  Rows stream_lack_;
  absl::flat_hash_map<const std::byte*, std::unique_ptr<Watched>> watched_;
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_GPTQ_HESSIAN_ACCUMULATOR_H_
