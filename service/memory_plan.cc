// SPDX-License-Identifier: Apache-2.0
#include "service/memory_plan.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/thread_pool.h"
#include "core/engine/draft/prompt_lookup.h"
#include "core/engine/snapshot.h"
#include "core/engine/step_runner.h"
#include "core/engine/validate.h"
#include "service/line_queue.h"
#include "service/memory_shares.h"
#include "service/telemetry/span_exporter.h"

namespace rwkvd {
namespace {

constexpr int64_t kKiB = int64_t{1} << 10;
constexpr int64_t kMiB = int64_t{1} << 20;

// The least that the largest message may have.
constexpr int64_t kMinMessageBytes = 1 * kMiB;

// How many messages of the largest size fit in the memory of gRPC, at least. Of
// one client it keeps half as many (MessageBudget).
constexpr int64_t kMinGrpcMessages = 4;

// Bytes for each token of the vocabulary that sampling needs in each thread:
// edited logits, candidates and their order, weights.
constexpr int64_t kSamplingBytesPerId = 96;

// A token that was sampled after a draft token, with two lists of the likeliest
// tokens.
constexpr int64_t kSampledTokenBytes = 2 * kKiB;

// Stacks, metrics, connections and everything that has a small fixed limit.
constexpr int64_t kFixedOverhead = 6 * kMiB;
// The allocator's share of what is allocated and freed again and again: holes
// between blocks.
constexpr int64_t kAllocatorDivisor = 12;

std::string MiB(int64_t bytes) {
  return absl::StrFormat("%.1f", static_cast<double>(bytes) / kMiB);
}

int64_t UsableBytes(const MemoryLimit& limit) { return limit.bytes / 10 * 9; }

int64_t MaxSnapshotBytes(const ModelMemory& model, const Options& options) {
  return model.state +
         4 * (model.vocab_size + MaxSnapshotTokens(options.engine)) + 4 * kKiB;
}

int64_t DraftBytes(const ModelMemory& model, const EngineOptions& engine) {
  if (engine.max_draft_tokens == 0) return 0;
  const int64_t per_slot =
      PromptLookup::kMaxBytes + engine.max_draft_tokens * kSampledTokenBytes;
  return engine.max_draft_tokens * model.state + engine.max_running * per_slot;
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
      {"tokenizer_archive", model.tokenizer_archive},
      {"running_states", engine.max_running * (model.state + logits)},
      {"branch_states", engine.max_branch_states * (model.state + logits)},
      {"snapshots", engine.max_snapshots * (model.state + logits)},
      {"drafts", DraftBytes(model, engine)},
      // A part that is computed starts from one state and ends with another.
      {"documents", 2 * options.max_documents * model.state},
      {"requests", engine.max_request_bytes},
      {"state_cache", engine.state_cache_bytes},
      {"pinned_states", engine.max_pinned_bytes},
      // A single one is always accepted.
      {"pending_states", std::max(options.max_pending_states_bytes, snapshot)},
      {"saved_states",
       options.saves_states_in_memory() ? options.state_store_bytes : 0},
      // The worker converts one state at a time, to bytes or from bytes.
      {"state_conversion", 2 * snapshot},
      {"request_messages", options.request_memory_bytes},
      {"responses", options.response_memory_bytes},
      {"grpc", options.grpc_memory_bytes},
      {"log",
       (options.usage_log.empty() ? 2 : 4) * int64_t{LineQueue::kMaxBytes}},
      {"spans", options.otlp_endpoint.empty() ? 0 : SpanExporter::kMaxMemory},
  };
  // Without what is allocated once.
  int64_t dynamic = 0;
  for (size_t i = 5; i < parts.size(); ++i) dynamic += parts[i].bytes;
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
      PartsOf(model, LowestLimits(*options));
  if (SumOf(least) > usable) {
    return absl::InvalidArgumentError(
        absl::StrCat("--memory_limit: expected at least ", MiB(SumOf(least)),
                     " MiB for the model and the given flags, got ",
                     MiB(usable), " MiB, 90 % of ", MiB(limit.bytes), " (",
                     limit.source, "): ", ListOf(least)));
  }
  *options = LimitsWithin(usable, *options, [&model](const Options& candidate) {
    return SumOf(PartsOf(model, candidate));
  });
  return MemoryPlan{limit, PartsOf(model, *options)};
}

std::string DescribeLimits(const Options& options) {
  const EngineOptions& engine = options.engine;
  return absl::StrCat(
      "--max_running=", engine.max_running,
      " --max_step_tokens=", engine.max_step_tokens,
      " --max_draft_tokens=", engine.max_draft_tokens,
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
