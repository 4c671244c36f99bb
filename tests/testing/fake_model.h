// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_FAKE_MODEL_H_
#define RWKVD_TESTS_TESTING_FAKE_MODEL_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/types/span.h"
#include "core/model/model.h"

namespace rwkvd {

// A network without weights: its state is a hash of every token read, and its
// logits are a hash of that. Any mix-up of states, tokens or rows shows in what
// comes after it. Checks the preconditions of Forward.
//
// Thread-safe, as a Model is.
class FakeModel : public Model {
 public:
  using OnForward = std::function<void(absl::Span<const Chunk>)>;

  // `on_forward` is called at the start of each forward pass, and may block.
  explicit FakeModel(int64_t vocab_size, OnForward on_forward = nullptr);

  const ModelConfig& config() const override { return config_; }
  State NewState() const override;
  // As if the file's path had been read before the first token.
  absl::StatusOr<State> NewTunedState(const TensorFile& file) const override;
  Workspace NewWorkspace(int64_t max_rows, ThreadPool* pool) const override;
  void Forward(absl::Span<const Chunk> chunks,
               Workspace& workspace) const override;

  // The state after `tokens`.
  State StateAfter(absl::Span<const int32_t> tokens) const;

  // [vocab_size], in [-4, 4): what the model predicts after `tokens`, computed
  // without a state.
  std::vector<float> LogitsAfter(absl::Span<const int32_t> tokens) const;

 private:
  void ForwardChunk(const Chunk& chunk) const;
  void FillLogits(uint64_t hash, absl::Span<float> logits) const;

  ModelConfig config_;
  OnForward on_forward_;
};

}  // namespace rwkvd

#endif  // RWKVD_TESTS_TESTING_FAKE_MODEL_H_
