// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_BENCH_BENCH_MODEL_H_
#define RWKVD_TESTS_BENCH_BENCH_MODEL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/base/thread_pool.h"
#include "core/model/model.h"
#include "core/model/model_options.h"
#include "tests/bench/machine_limits.h"

namespace rwkvd::bench {

// A model to measure, and the bytes and operations that its steps need.
struct BenchModel {
  std::string name;  // "F32", ... or the file's name
  std::shared_ptr<const TensorFile> file;
  std::unique_ptr<const Model> model;
  // Memory of all weights except the embedding, which is only looked up.
  std::vector<absl::Span<const std::byte>> regions;
  int64_t bytes_per_step = 0;       // total size of `regions`
  double operations_per_token = 0;  // a multiply-add counts as two
};

// Loads the checkpoint at `path`. Exits the process with a message on failure.
BenchModel LoadBenchModel(const std::string& name, const std::string& path,
                          ActivationKind activations = ActivationKind::kAuto);

// The arithmetic limits to compare the model with, given its weight type.
std::vector<Resource> PeaksOf(const BenchModel& model);

// A fixed batch: `sequences` sequences that each advance by `tokens` tokens a
// step and compute the logits of the last one. `model` and `pool` must outlive
// this object.
class Steps {
 public:
  Steps(const Model& model, int64_t sequences, int64_t tokens,
        ThreadPool* pool);

  void Run() { model_.Forward(chunks_, workspace_); }
  int64_t tokens() const { return static_cast<int64_t>(tokens_.size()); }
  // Whether the last logits are finite. NaN or infinite values would make the
  // measured speed meaningless.
  bool IsSane() const;

 private:
  const Model& model_;
  Workspace workspace_;
  std::vector<int32_t> tokens_;
  std::vector<float> logits_;
  std::vector<State> states_;
  std::vector<Chunk> chunks_;  // point into the vectors above
};

}  // namespace rwkvd::bench

#endif  // RWKVD_TESTS_BENCH_BENCH_MODEL_H_
