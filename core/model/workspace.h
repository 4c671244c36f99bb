// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_WORKSPACE_H_
#define RWKVD_CORE_MODEL_WORKSPACE_H_

#include <cstddef>
#include <cstdint>

#include "core/base/aligned_buffer.h"
#include "core/base/check.h"
#include "core/base/thread_pool.h"
#include "core/model/rows.h"

namespace rwkvd {

class MatMulInterceptor;

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

  // Calls `interceptor` before each matmul from now on; nullptr: none. One
  // pointer here, tested once per matmul, lets rwkv-convert calibrate the same
  // code that serves: MatMul is the only place that all versions pass through.
  void set_interceptor(MatMulInterceptor* interceptor) {
    interceptor_ = interceptor;
  }
  MatMulInterceptor* interceptor() const { return interceptor_; }

  // Begins a new call: Take hands out the same memory again, and nothing is
  // counted of its inputs yet. The values stay until they are overwritten.
  void Reset() {
    used_ = 0;
    inputs_ = 0;
    zeros_ = 0;
  }

  // Of the inputs to weights that are skipped where those are zero, the share
  // that was, as seen in the first row of the last call; 0 if there were none.
  double zero_share() const {
    return inputs_ == 0 ? 0 : static_cast<double>(zeros_) / inputs_;
  }
  void NoteInputs(int64_t inputs, int64_t zeros) {
    inputs_ += inputs;
    zeros_ += zeros;
  }

  // `size` bytes at the start of a cache line, until the next such call: for
  // what a product makes of its x. Grows to the largest call.
  std::byte* Scratch(int64_t size) {
    if (static_cast<int64_t>(scratch_.size()) < size) scratch_.resize(size);
    return scratch_.data();
  }

  // The next [num, width] floats, uninitialised, at the start of a cache line.
  Rows Take(int64_t num, int64_t width) {
    RWKVD_CHECK(num <= max_rows_);
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
  AlignedVector<std::byte> scratch_;
  int64_t used_ = 0;
  int64_t inputs_ = 0;
  int64_t zeros_ = 0;
  int64_t max_rows_;
  ThreadPool* pool_;
  MatMulInterceptor* interceptor_ = nullptr;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_WORKSPACE_H_
