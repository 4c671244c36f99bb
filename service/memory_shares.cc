// SPDX-License-Identifier: Apache-2.0
#include "service/memory_shares.h"

#include <algorithm>
#include <array>

#include "core/engine/branch_states.h"
#include "core/engine/engine_options.h"

namespace rwkvd {
namespace {

// The least that a server of a small model can work with.
constexpr int64_t kMinRequestBytes = 1 << 20;
constexpr int64_t kMinResponseBytes = 2 << 20;
constexpr int32_t kMinStepTokens = 32;

// What a request takes in addition to its tokens if it has no penalties.
constexpr int64_t kRequestOverhead = 8 << 10;
constexpr int64_t kMaxPlannedQueue = 1024;

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
    Scale<int32_t>("max_draft_tokens", 0, kCompute, &engine.max_draft_tokens);
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

// Raises the share of `kind` as far as the sum fits in `budget`.
void Raise(const Options& options, SumOfLimits sum, int64_t budget, Kind kind,
           Shares* shares) {
  constexpr int kSteps = 4096;
  int low = static_cast<int>((*shares)[kind] * kSteps);
  int high = kSteps;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    (*shares)[kind] = static_cast<double>(middle) / kSteps;
    if (sum(WithShares(options, *shares)) <= budget) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  (*shares)[kind] = static_cast<double>(low) / kSteps;
}

}  // namespace

Options LowestLimits(const Options& options) {
  return WithShares(options, Shares{});
}

Options LimitsWithin(int64_t budget, const Options& options, SumOfLimits sum) {
  Shares shares = {};
  for (const Kind kind : {kCompute, kMessages}) {
    const int64_t used = sum(WithShares(options, shares));
    Raise(options, sum, used + (budget - used) / 2, kind, &shares);
  }
  for (const Kind kind : {kCaches, kMessages, kCompute}) {
    Raise(options, sum, budget, kind, &shares);
  }
  return WithShares(options, shares);
}

}  // namespace rwkvd
