// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SEQUENCE_LOGITS_BUFFER_H_
#define RWKVD_CORE_ENGINE_SEQUENCE_LOGITS_BUFFER_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/base/check.h"

namespace rwkvd {

// The logits of a step. Allocated once and reused in each step. Engine thread
// only.
class LogitsBuffer {
 public:
  LogitsBuffer(int64_t max_rows, int64_t vocab_size)
      : values_(max_rows * vocab_size), vocab_size_(vocab_size) {}

  // The next [num_rows, vocab_size], uninitialized; valid until Clear.
  absl::Span<float> Take(int64_t num_rows) {
    const int64_t begin = used_;
    used_ += num_rows * vocab_size_;
    RWKVD_CHECK(used_ <= static_cast<int64_t>(values_.size()));
    return absl::MakeSpan(values_).subspan(begin, num_rows * vocab_size_);
  }

  void Clear() { used_ = 0; }

  int64_t vocab_size() const { return vocab_size_; }

 private:
  std::vector<float> values_;
  const int64_t vocab_size_;
  int64_t used_ = 0;  // of values_
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SEQUENCE_LOGITS_BUFFER_H_
