// SPDX-License-Identifier: Apache-2.0
#include "service/memory_plan.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/thread_pool.h"
#include "core/engine/snapshot.h"
#include "core/engine/step_runner.h"
#include "core/engine/validate.h"

namespace rwkvd {
namespace {

constexpr int64_t kKiB = int64_t{1} << 10;
constexpr int64_t kMiB = int64_t{1} << 20;

// The least that a server of a small model can work with.
constexpr int64_t kMinRequestBytes = 1 * kMiB;
constexpr int64_t kMinMessageBytes = 1 * kMiB;
constexpr int64_t kMinResponseBytes = 2 * kMiB;

// How many messages of the largest size fit in the memory of gRPC, at least. Of
// one client it keeps half as many (MessageBudget).
constexpr int64_t kMinGrpcMessages = 4;

constexpr int32_t kMinStepTokens = 32;

// Bytes for each token of the vocabulary that sampling needs in each thread:
// edited logits, candidates and their order, weights.
constexpr int64_t kSamplingBytesPerId = 96;

// Stacks, metrics, connections and everything that has a small fixed limit.
constexpr int64_t kFixedOverhead = 6 * kMiB;
// The allocator's share of what is allocated and freed again and again: holes
// between blocks.
constexpr int64_t kAllocatorDivisor = 12;

// What a request takes in addition to its tokens if it has no penalties.
constexpr int64_t kRequestOverhead = 8 * kKiB;
constexpr int64_t kMaxPlannedQueue = 1024;

std::string MiB(int64_t bytes) {
  return absl::StrFormat("%.1f", static_cast<double>(bytes) / kMiB);
}

int64_t UsableBytes(const MemoryLimit& limit) { return limit.bytes / 10 * 9; }

// The share of its default that each kind of limit gets, in [0, 1].
enum Kind { kCompute, kMessages, kCaches, kNumKinds };
using Shares = std::array<double, kNumKinds>;

// Sets the limits that no flag has given to shares of their defaults.
class ShareSetter {
 public:
  ShareSetter(const Shares& shares, Options* options)
      : options_(*options), shares_(shares) {}

  void Apply() {
    ApplyToCompute();
    ApplyToTokens();
    const int64_t least_messages = std::min(
        2 * int64_t{options_.max_message_bytes}, options_.request_memory_bytes);
    Scale("", least_messages, kMessages, &options_.request_memory_bytes);
    Scale("", kMinResponseBytes, kMessages, &options_.response_memory_bytes);
    EngineOptions& engine = options_.engine;
    Scale<int64_t>("state_cache_mib", 0, kCaches, &engine.state_cache_bytes);
    Scale<int64_t>("pinned_states_mib", 0, kCaches, &engine.max_pinned_bytes);
    Scale<int64_t>("state_store_mib", 0, kCaches, &options_.state_store_bytes);
    Scale<int64_t>("max_pending_states_mib", 0, kCaches,
                   &options_.max_pending_states_bytes);
  }

 private:
  bool IsGiven(const char* flag) const {
    return options_.given_flags.contains(flag);
  }

  // `value` becomes min + share * (value - min), unless the flag was given.
  template <typename T>
  void Scale(const char* flag, T min, Kind kind, T* value) const {
    if (IsGiven(flag) || *value <= min) return;
    *value =
        min + static_cast<T>(static_cast<double>(*value - min) * shares_[kind]);
  }

  void ApplyToCompute() {
    EngineOptions& engine = options_.engine;
    Scale("max_running", 1, kCompute, &engine.max_running);
    Scale("max_step_tokens", std::max(kMinStepTokens, engine.max_running + 1),
          kCompute, &engine.max_step_tokens);
    Scale<int32_t>("", BranchStates::kReserved, kCompute,
                   &engine.max_branch_states);
    Scale<int32_t>("", 1, kCompute, &engine.max_snapshots);
    Scale<int32_t>("", 1, kCompute, &options_.max_documents);
  }

  // Requests may take 4 bytes for each token and a fixed size for each request.
  void ApplyToTokens() {
    EngineOptions& engine = options_.engine;
    Scale("max_total_tokens", kMinRequestBytes / 4, kMessages,
          &engine.max_total_tokens);
    const int64_t most = engine.max_total_tokens / 4;
    if (!IsGiven("max_prompt_tokens")) {
      engine.max_prompt_tokens = std::min(engine.max_prompt_tokens, most);
    }
    if (!IsGiven("max_generated_tokens")) {
      engine.max_generated_tokens = std::min(engine.max_generated_tokens, most);
    }
    if (!IsGiven("max_total_tokens")) {
      engine.max_total_tokens = std::max(
          engine.max_total_tokens,
          2 * (engine.max_prompt_tokens + engine.max_generated_tokens));
    }
    const int64_t num_requests =
        engine.max_running +
        std::min<int64_t>(engine.max_queued, kMaxPlannedQueue);
    engine.max_request_bytes =
        engine.max_total_tokens * 4 + num_requests * kRequestOverhead;
  }

  Options& options_;
  const Shares& shares_;
};

Options WithShares(const Options& options, const Shares& shares) {
  Options planned = options;
  ShareSetter(shares, &planned).Apply();
  return planned;
}

int64_t MaxSnapshotBytes(const ModelMemory& model, const Options& options) {
  return model.state +
         4 * (model.vocab_size + MaxSnapshotTokens(options.engine)) + 4 * kKiB;
}

std::vector<MemoryPlan::Part> PartsOf(const ModelMemory& model,
                                      const Options& options) {
  const EngineOptions& engine = options.engine;
  const int64_t logits = 4 * model.vocab_size;
  const int64_t snapshot = MaxSnapshotBytes(model, options);
  std::vector<MemoryPlan::Part> parts = {
      {"process", model.process},
      {"activations", engine.max_step_tokens * model.activations_per_row},
      {"logits", StepRunner::MaxLogitsRows(engine) * logits},
      {"sampling", model.threads * model.vocab_size * kSamplingBytesPerId},
      {"running_states", engine.max_running * (model.state + logits)},
      {"branch_states", engine.max_branch_states * (model.state + logits)},
      {"snapshots", engine.max_snapshots * (model.state + logits)},
      // A part that is computed starts from one state and ends with another.
      {"documents", 2 * options.max_documents * model.state},
      {"requests", engine.max_request_bytes},
      {"state_cache", engine.state_cache_bytes},
      {"pinned_states", engine.max_pinned_bytes},
      // A single one is always accepted.
      {"pending_states", std::max(options.max_pending_states_bytes, snapshot)},
      {"saved_states",
       options.state_dir.empty() ? options.state_store_bytes : 0},
      // The worker converts one state at a time, to bytes or from bytes.
      {"state_conversion", 2 * snapshot},
      {"request_messages", options.request_memory_bytes},
      {"responses", options.response_memory_bytes},
      {"grpc", options.grpc_memory_bytes},
  };
  int64_t dynamic = 0;
  for (size_t i = 4; i < parts.size(); ++i) dynamic += parts[i].bytes;
  parts.push_back({"overhead", kFixedOverhead + dynamic / kAllocatorDivisor});
  return parts;
}

int64_t SumOf(const std::vector<MemoryPlan::Part>& parts) {
  int64_t bytes = 0;
  for (const MemoryPlan::Part& part : parts) bytes += part.bytes;
  return bytes;
}

std::string ListOf(const std::vector<MemoryPlan::Part>& parts) {
  return absl::StrJoin(parts, " + ",
                       [](std::string* out, const MemoryPlan::Part& part) {
                         absl::StrAppend(out, MiB(part.bytes), " ", part.name);
                       });
}

// The sum of all parts with these shares.
int64_t SumWith(const ModelMemory& model, const Options& options,
                const Shares& shares) {
  return SumOf(PartsOf(model, WithShares(options, shares)));
}

// Raises the share of `kind` as far as the sum fits in `budget`.
void Raise(const ModelMemory& model, const Options& options, int64_t budget,
           Kind kind, Shares* shares) {
  constexpr int kSteps = 4096;
  int low = static_cast<int>((*shares)[kind] * kSteps);
  int high = kSteps;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    (*shares)[kind] = static_cast<double>(middle) / kSteps;
    if (SumWith(model, options, *shares) <= budget) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  (*shares)[kind] = static_cast<double>(low) / kSteps;
}

// Each kind gets what it can use of half of what is left, slots first. What the
// caches leave goes back to the others.
Shares DivideMemory(const ModelMemory& model, const Options& options,
                    int64_t usable) {
  Shares shares = {};
  for (const Kind kind : {kCompute, kMessages}) {
    const int64_t used = SumWith(model, options, shares);
    Raise(model, options, used + (usable - used) / 2, kind, &shares);
  }
  for (const Kind kind : {kCaches, kMessages, kCompute}) {
    Raise(model, options, usable, kind, &shares);
  }
  return shares;
}

}  // namespace

int64_t MemoryPlan::bytes() const { return SumOf(parts); }

std::string MemoryPlan::ToString() const {
  return absl::StrCat(MiB(bytes()), " of ", MiB(UsableBytes(limit)),
                      " MiB, 90 % of ", MiB(limit.bytes), " (", limit.source,
                      "): ", ListOf(parts));
}

MemoryLimit LimitOf(const Options& options) {
  if (options.memory_limit_bytes > 0) {
    return {options.memory_limit_bytes, "--memory_limit"};
  }
  return DetectMemoryLimit();
}

Options LimitMessages(Options options) {
  const int64_t limit = LimitOf(options).bytes;
  if (!options.given_flags.contains("max_message_mib")) {
    options.max_message_bytes = static_cast<int32_t>(std::min<int64_t>(
        options.max_message_bytes, std::max(kMinMessageBytes, limit / 40)));
  }
  // Room for two messages of the largest size, so that one does not keep all
  // others out.
  options.request_memory_bytes =
      std::max(std::min(options.request_memory_bytes, limit / 8),
               2 * int64_t{options.max_message_bytes});
  options.response_memory_bytes =
      std::min(options.response_memory_bytes, limit / 16);
  // A client may send several messages of the largest size at the same time.
  options.grpc_memory_bytes =
      std::max(std::min(options.grpc_memory_bytes, limit / 8),
               kMinGrpcMessages * int64_t{options.max_message_bytes});
  return options;
}

ModelMemory MeasureMemory(const Model& model, int threads) {
  constexpr int64_t kRows = 16;
  ThreadPool pool(1);
  const ModelConfig& config = model.config();
  // A matmul may keep a quantized form of its input, at most as large.
  const int64_t widest =
      std::max({config.embedding_size, config.attention_size, config.ffn_size});
  return {.process = AnonymousMemory(),
          .state = static_cast<int64_t>(model.NewState().bytes()),
          .activations_per_row =
              model.NewWorkspace(kRows, &pool).bytes() / kRows + 4 * widest,
          .vocab_size = config.vocab_size,
          .threads = threads};
}

absl::StatusOr<MemoryPlan> PlanMemory(const ModelMemory& model,
                                      const MemoryLimit& limit,
                                      Options* options) {
  const int64_t usable = UsableBytes(limit);
  const std::vector<MemoryPlan::Part> least =
      PartsOf(model, WithShares(*options, Shares{}));
  if (SumOf(least) > usable) {
    return absl::InvalidArgumentError(
        absl::StrCat("--memory_limit: expected at least ", MiB(SumOf(least)),
                     " MiB for the model and the given flags, got ",
                     MiB(usable), " MiB, 90 % of ", MiB(limit.bytes), " (",
                     limit.source, "): ", ListOf(least)));
  }
  *options = WithShares(*options, DivideMemory(model, *options, usable));
  return MemoryPlan{limit, PartsOf(model, *options)};
}

std::string DescribeLimits(const Options& options) {
  const EngineOptions& engine = options.engine;
  return absl::StrCat(
      "--max_running=", engine.max_running,
      " --max_step_tokens=", engine.max_step_tokens,
      " --max_prompt_tokens=", engine.max_prompt_tokens,
      " --max_generated_tokens=", engine.max_generated_tokens,
      " --max_total_tokens=", engine.max_total_tokens,
      " --state_cache_mib=", engine.state_cache_bytes / kMiB,
      " --pinned_states_mib=", engine.max_pinned_bytes / kMiB,
      " --state_store_mib=", options.state_store_bytes / kMiB,
      " --max_pending_states_mib=", options.max_pending_states_bytes / kMiB,
      " --max_message_mib=", options.max_message_bytes / kMiB);
}

}  // namespace rwkvd
