// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_FAKE_MODEL_H_
#define RWKVD_TESTS_TESTING_FAKE_MODEL_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/types/span.h"
#include "core/model/model.h"

namespace rwkvd {

// A model without weights. Its state is a hash of all tokens so far, and its
// logits are a hash of the state, so that confusing states, tokens or rows
// changes all later logits. Checks the preconditions of Forward.
//
// Thread-safe, like every Model.
class FakeModel : public Model {
 public:
  using OnForward = std::function<void(absl::Span<const Chunk>)>;

  // Calls `on_forward`, which may block, at the start of each forward pass.
  explicit FakeModel(int64_t vocab_size, OnForward on_forward = nullptr);

  // Makes all logits right after `token` NaN, as damaged weights would.
  void BreakAfter(int32_t token) { broken_token_ = token; }

  const ModelConfig& config() const override { return config_; }
  State NewState() const override;
  // The state after the bytes of the file's path as tokens.
  absl::StatusOr<State> NewTunedState(const TensorFile& file) const override;
  Workspace NewWorkspace(int64_t max_rows, ThreadPool* pool) const override;
  void Forward(absl::Span<const Chunk> chunks,
               Workspace& workspace) const override;

  // The state after `tokens`.
  State StateAfter(absl::Span<const int32_t> tokens) const;

  // The logits after `tokens`, [vocab_size] numbers in [-4, 4), computed
  // without a state.
  std::vector<float> LogitsAfter(absl::Span<const int32_t> tokens) const;

 private:
  void ForwardChunk(const Chunk& chunk) const;
  void FillLogits(uint64_t hash, absl::Span<float> logits) const;

  ModelConfig config_;
  OnForward on_forward_;
  int32_t broken_token_ = -1;  // -1: none
};

}  // namespace rwkvd

#endif  // RWKVD_TESTS_TESTING_FAKE_MODEL_H_
