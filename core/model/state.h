// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_STATE_H_
#define RWKVD_CORE_MODEL_STATE_H_

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/types/span.h"

namespace rwkvd {

// Everything that a sequence remembers between two forward passes: a fixed
// number of f32 values, whose layout the model defines (Model::NewState). To
// copy a state is to fork the conversation. Thread-compatible; owned by its
// sequence or by the state cache.
class State {
 public:
  State() = default;
  explicit State(std::vector<float> values) : values_(std::move(values)) {}

  absl::Span<float> values() { return absl::MakeSpan(values_); }
  absl::Span<const float> values() const { return values_; }
  size_t bytes() const { return values_.size() * sizeof(float); }

  friend bool operator==(const State& a, const State& b) {
    return a.values_ == b.values_;
  }

 private:
  std::vector<float> values_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_STATE_H_
