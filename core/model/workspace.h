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

// Memory for the activations of one forward pass, so that Forward allocates
// nothing. Its contents are unspecified between calls.
//
// Made by Model::NewWorkspace and owned by the caller of Forward. Serves one
// Forward at a time.
class Workspace {
 public:
  // Allocates `num_floats`, enough for calls of at most `max_rows` tokens.
  Workspace(int64_t num_floats, int64_t max_rows, ThreadPool* pool)
      : floats_(num_floats), max_rows_(max_rows), pool_(pool) {}

  int64_t max_rows() const { return max_rows_; }
  // The memory for activations, without Scratch.
  int64_t bytes() const {
    return static_cast<int64_t>(floats_.size() * sizeof(float));
  }
  ThreadPool& pool() { return *pool_; }

  // Calls `interceptor` before each matmul from now on; nullptr: none. One
  // pointer here, tested once per matmul, lets rwkv-convert calibrate the same
  // code that serves: MatMul is the only place that all versions pass through.
  void set_interceptor(MatMulInterceptor* interceptor) {
    interceptor_ = interceptor;
  }
  MatMulInterceptor* interceptor() const { return interceptor_; }

  // Begins a forward pass: Take starts over at the beginning of the memory,
  // whose values stay until they are overwritten, and the counts below become
  // zero.
  void Reset() {
    used_ = 0;
    inputs_ = 0;
    zeros_ = 0;
  }

  // The share of zeros among the inputs of matrices whose columns are skipped
  // where the input is zero, counted in the first row of the last call; 0 if
  // the model has no such matrices.
  double zero_share() const {
    return inputs_ == 0 ? 0 : static_cast<double>(zeros_) / inputs_;
  }
  void NoteInputs(int64_t inputs, int64_t zeros) {
    inputs_ += inputs;
    zeros_ += zeros;
  }

  // Returns `size` bytes at the start of a cache line, valid until the next
  // such call. A matmul keeps the quantized form of its x there. Grows to the
  // largest size that was asked for.
  std::byte* Scratch(int64_t size) {
    if (static_cast<int64_t>(scratch_.size()) < size) scratch_.resize(size);
    return scratch_.data();
  }

  // Returns the next [num, width] floats, uninitialized, at the start of a
  // cache line.
  Rows Take(int64_t num, int64_t width) {
    RWKVD_CHECK(num <= max_rows_);
    Rows rows{floats_.data() + used_, num, width};
    used_ += Size(num, width);
    RWKVD_CHECK(used_ <= static_cast<int64_t>(floats_.size()));
    return rows;
  }

  // The number of floats that Take(num, width) consumes.
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
