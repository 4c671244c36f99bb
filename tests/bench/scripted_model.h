// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_BENCH_SCRIPTED_MODEL_H_
#define RWKVD_TESTS_BENCH_SCRIPTED_MODEL_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "core/model/model.h"

namespace rwkvd::bench {

// Another model, with its arithmetic, that predicts a script: after n tokens,
// token n of the script is by far the likeliest. So a benchmark decides what is
// generated, and the sampler still has to find it. One more value of the state
// counts the tokens. Thread-safe, as Model is.
class ScriptedModel : public Model {
 public:
  // `model` outlives this one. Ids of the script are in its vocabulary.
  ScriptedModel(const Model* model, std::vector<int32_t> script)
      : model_(*model), script_(std::move(script)) {}

  const ModelConfig& config() const override { return model_.config(); }
  State NewState() const override {
    const State state = model_.NewState();
    std::vector<float> values(state.values().begin(), state.values().end());
    values.push_back(0);
    return State(std::move(values));
  }
  absl::StatusOr<State> NewTunedState(const TensorFile&) const override {
    return absl::UnimplementedError("a script has no tuned state");
  }
  Workspace NewWorkspace(int64_t max_rows, ThreadPool* pool) const override {
    return model_.NewWorkspace(max_rows, pool);
  }
  void Forward(absl::Span<const Chunk> chunks,
               Workspace& workspace) const override {
    model_.Forward(chunks, workspace);
    for (const Chunk& chunk : chunks) Predict(chunk);
  }

 private:
  void Predict(const Chunk& chunk) const {
    const auto num_tokens = static_cast<int64_t>(chunk.tokens.size());
    const int64_t first_row = num_tokens - chunk.LogitsRows();
    float& count = chunk.state->values().back();
    for (int64_t i = 0; i < num_tokens; ++i) {
      count += 1;
      if (i < static_cast<int64_t>(chunk.inner_states.size())) {
        chunk.inner_states[i].values().back() = count;
      }
      const auto next = static_cast<size_t>(count);
      if (i < first_row || next >= script_.size()) continue;
      chunk.logits[(i - first_row) * config().vocab_size + script_[next]] = 1e6;
    }
  }

  const Model& model_;
  const std::vector<int32_t> script_;
};

}  // namespace rwkvd::bench

#endif  // RWKVD_TESTS_BENCH_SCRIPTED_MODEL_H_
