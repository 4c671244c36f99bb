// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_BENCH_BENCH_MODEL_H_
#define RWKVD_TESTS_BENCH_BENCH_MODEL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/base/thread_pool.h"
#include "core/model/model.h"
#include "tests/bench/machine_limits.h"

namespace rwkvd::bench {

// A network to measure, with what it reads and computes for each token.
struct BenchModel {
  std::string name;  // "F32", ... or the file's name
  std::shared_ptr<const TensorFile> file;
  std::unique_ptr<const Model> model;
  // Where its weights lie, but for the embedding, which is only looked up.
  std::vector<absl::Span<const std::byte>> regions;
  int64_t bytes_per_step = 0;       // of `regions`
  double operations_per_token = 0;  // a multiplication and an addition are two
};

// The checkpoint at `path`, which must be one.
BenchModel LoadBenchModel(const std::string& name, const std::string& path);

// What its arithmetic can be held to: the peaks of this kind of weights.
std::vector<Resource> PeaksOf(const BenchModel& model);

// Sequences that each advance by the same number of tokens a step, the logits
// after the last of them wanted. `model` and `pool` outlive it.
class Steps {
 public:
  Steps(const Model& model, int64_t sequences, int64_t tokens,
        ThreadPool* pool);

  void Run() { model_.Forward(chunks_, workspace_); }
  int64_t tokens() const { return static_cast<int64_t>(tokens_.size()); }
  // Whether the last logits are numbers: what is slow otherwise may be NaN.
  bool IsSane() const;

 private:
  const Model& model_;
  Workspace workspace_;
  std::vector<int32_t> tokens_;
  std::vector<float> logits_;
  std::vector<State> states_;
  std::vector<Chunk> chunks_;  // of the above
};

}  // namespace rwkvd::bench

#endif  // RWKVD_TESTS_BENCH_BENCH_MODEL_H_
