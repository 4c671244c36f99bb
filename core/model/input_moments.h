// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_INPUT_MOMENTS_H_
#define RWKVD_CORE_MODEL_INPUT_MOMENTS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/base/thread_pool.h"
#include "core/kernels/feedback.h"
#include "core/model/input_observer.h"

namespace rwkvd {

// Adds up, for chosen matrices, the products of each two of their inputs: what
// MakeFeedback takes. Inputs further apart than a span are taken for
// independent, so that memory and time do not grow with the square of the
// widest matrix.
//
// The same sums on any number of threads. Thread-compatible; used by one
// Forward at a time.
class InputMoments final : public InputObserver {
 public:
  static constexpr int64_t kSpanCols = 4096;

  // `pool` outlives it; `span_cols` is a multiple of kGroupCols.
  explicit InputMoments(ThreadPool* pool, int64_t span_cols = kSpanCols)
      : pool_(*pool), span_cols_(span_cols) {}

  // What Watch takes, in bytes.
  int64_t BytesFor(int64_t cols) const;

  // From now on, for the matrix whose weights lie at `weights`; `cols` is a
  // multiple of kGroupCols. At most once for each.
  void Watch(const std::byte* weights, int64_t cols);
  bool IsWatched(const std::byte* weights) const {
    return spans_.contains(weights);
  }

  void OnInputs(const Matrix& w, Rows x) override;

  // For a watched matrix, by spans; empty: an input was not finite. Makes
  // them side by side, with twice the memory of the moments for a while.
  std::vector<Feedback> MakeFeedbacks(const std::byte* weights) const;

 private:
  struct Span {
    int64_t first_col;
    int64_t cols;
    int64_t num = 0;          // rows of x
    std::vector<float> sums;  // [cols, cols], the lower triangle
  };

  ThreadPool& pool_;
  const int64_t span_cols_;
  absl::flat_hash_map<const std::byte*, std::vector<Span>> spans_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_INPUT_MOMENTS_H_
