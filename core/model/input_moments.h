// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_INPUT_MOMENTS_H_
#define RWKVD_CORE_MODEL_INPUT_MOMENTS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/base/thread_pool.h"
#include "core/kernels/feedback.h"
#include "core/model/matrix.h"
#include "core/model/rows.h"

namespace rwkvd {

// Adds up, for chosen matrices, what MakeCorrectingFeedback takes: products of
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
class InputMoments {
 public:
  static constexpr int64_t kSpanCols = 4096;

  // `pool` outlives it; `span_cols` is a multiple of kGroupCols.
  explicit InputMoments(ThreadPool* pool, int64_t span_cols = kSpanCols)
      : pool_(*pool), span_cols_(span_cols) {}

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

  // For a watched matrix, by spans; empty: an input was not finite. Makes
  // them side by side, with five times the memory of the moments for a while.
  std::vector<Feedback> MakeFeedbacks(const std::byte* weights) const;

 private:
  struct Span {
    int64_t first_col;
    int64_t cols;
    std::vector<float> sums;    // [cols, cols], the lower triangle
    std::vector<float> wanted;  // [cols, cols]
    std::vector<float> added;   // [stream width, cols]
  };
  struct Watched {
    int64_t num = 0;  // rows of x
    int64_t stream_width = 0;
    std::vector<Span> spans;
    std::vector<float> original;  // of the piece
  };

  void AddPiece(const Watched& watched, Rows x, Rows lack, Span& span);

  ThreadPool& pool_;
  const int64_t span_cols_;
  Rows stream_lack_;
  absl::flat_hash_map<const std::byte*, Watched> watched_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_INPUT_MOMENTS_H_
