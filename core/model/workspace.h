// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_WORKSPACE_H_
#define RWKVD_CORE_MODEL_WORKSPACE_H_

#include <cstdint>

#include "core/base/aligned_buffer.h"
#include "core/base/check.h"
#include "core/base/thread_pool.h"
#include "core/model/matrix.h"

namespace rwkvd {

// Scratch for the activations of one Model::Forward, so that a step allocates
// nothing. Its contents mean nothing between calls.
//
// Made by Model::NewWorkspace, owned by who calls Forward; one Forward at a
// time.
class Workspace {
 public:
  // Room for `num_floats`, for calls of at most `max_rows` tokens.
  Workspace(int64_t num_floats, int64_t max_rows, ThreadPool* pool)
      : floats_(num_floats), max_rows_(max_rows), pool_(pool) {}

  int64_t max_rows() const { return max_rows_; }
  ThreadPool& pool() { return *pool_; }

  // Hands everything back. What Take returned before must not be used.
  void Reset() { used_ = 0; }

  // The next [num, width] floats, uninitialised, at the start of a cache line.
  Rows Take(int64_t num, int64_t width) {
    Rows rows{floats_.data() + used_, num, width};
    used_ += Size(num, width);
    RWKVD_CHECK(used_ <= static_cast<int64_t>(floats_.size()));
    return rows;
  }

  // What Take(num, width) uses up, in floats.
  static int64_t Size(int64_t num, int64_t width) {
    constexpr int64_t kFloatsPerLine = 16;
    return (num * width + kFloatsPerLine - 1) / kFloatsPerLine * kFloatsPerLine;
  }

 private:
  AlignedVector<float> floats_;
  int64_t used_ = 0;
  int64_t max_rows_;
  ThreadPool* pool_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_WORKSPACE_H_
