// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_MEMORY_PLAN_H_
#define RWKVD_SERVICE_MEMORY_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/memory_limit.h"
#include "core/model/model.h"
#include "service/options/options.h"

namespace rwkvd {

// What a plan must know about the process and its model once it is loaded; in
// bytes. A value.
struct ModelMemory {
  int64_t process = 0;  // anonymous memory in use
  int64_t state = 0;    // of one sequence
  int64_t activations_per_row = 0;
  int64_t vocab_size = 0;
  int64_t threads = 1;
  int64_t tokenizer_archive = 0;  // while it is built: what GetTokenizer sends
};

// The anonymous memory that the server may take at most, part by part. Each
// queue, buffer and cache belongs to a part, and docs/architecture.md names the
// limit that bounds it. A value.
struct MemoryPlan {
  struct Part {
    std::string name;  // the value of a metric's label
    int64_t bytes = 0;
  };

  // All parts together.
  int64_t bytes() const;
  // The sum and the parts, in MiB.
  std::string ToString() const;

  MemoryLimit limit;
  std::vector<Part> parts;
};

// The memory limit that applies: --memory_limit, or what the system sets.
MemoryLimit LimitOf(const Options& options);

// `options` with limits for messages and responses that suit the memory limit,
// before it is known what the model takes.
Options LimitMessages(Options options);

// What the plan must know about `model`, which computes on `threads` threads.
ModelMemory MeasureMemory(const Model& model, int threads);

// Plans the memory of a server. Keeps the sum within 90 % of the limit: the
// rest is for the kernel's memory and for cached pages of the model's file. To
// this end, lowers limits in `options` that no flag has set.
//
// InvalidArgument, in one line with the sum, if the least that the model and
// the given flags need does not fit.
absl::StatusOr<MemoryPlan> PlanMemory(const ModelMemory& model,
                                      const MemoryLimit& limit,
                                      Options* options);

// The limits in `options` that PlanMemory may lower, as flags.
std::string DescribeLimits(const Options& options);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_MEMORY_PLAN_H_
