// SPDX-License-Identifier: Apache-2.0
#include "service/metrics/engine_collector.h"

#include <array>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "cli/version.h"
#include "core/model/config.h"
#include "prometheus/client_metric.h"
#include "service/metrics/metric_families.h"

namespace rwkvd {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily ToHistogram(const char* name, const char* help,
                         const Histogram::Snapshot& snapshot) {
  MetricFamily family = EmptyFamily(name, help, MetricType::Histogram);
  ClientMetric::Histogram& out = family.metric.emplace_back().histogram;
  for (size_t i = 0; i < snapshot.cumulative.size(); ++i) {
    const double bound = i < snapshot.bounds.size()
                             ? snapshot.bounds[i]
                             : std::numeric_limits<double>::infinity();
    out.bucket.push_back({snapshot.cumulative[i], bound});
  }
  out.sample_count =
      snapshot.cumulative.empty() ? 0 : snapshot.cumulative.back();
  out.sample_sum = snapshot.sum;
  return family;
}

// The metrics that show one member of EngineStats.
template <typename T>
struct Metric {
  const char* name;
  const char* help;
  T EngineStats::*member;
};

constexpr Metric<uint64_t> kCounters[] = {
    {"rwkv_prompt_tokens_total",
     "Prompt and context tokens that were computed.",
     &EngineStats::prompt_tokens},
    {"rwkv_prompt_tokens_cached_total",
     "Prompt and context tokens that were not computed, because the state "
     "after them was cached.",
     &EngineStats::cached_tokens},
    {"rwkv_generation_tokens_total", "Generated tokens.",
     &EngineStats::generated_tokens},
    {"rwkv_scored_tokens_total", "Scored tokens of continuations.",
     &EngineStats::scored_tokens},
    {"rwkv_steps_total", "Steps of the engine, one forward pass each.",
     &EngineStats::steps},
    {"rwkv_state_cache_queries_total",
     "Prompts that were looked up in the state cache.",
     &EngineStats::state_cache_queries},
    {"rwkv_state_cache_hits_total",
     "Prompts of which the state cache had a prefix.",
     &EngineStats::state_cache_hits},
    {"rwkv_state_cache_evictions_total",
     "States that were evicted from the state cache.",
     &EngineStats::state_cache_evictions},
};

constexpr Metric<uint64_t> kRejections[] = {
    {"queue_full", "", &EngineStats::rejected_queue_full},
    {"draining", "", &EngineStats::rejected_draining},
    {"total_tokens", "", &EngineStats::rejected_total_tokens},
    {"memory", "", &EngineStats::rejected_memory},
    {"queue_time", "", &EngineStats::rejected_queue_time},
    {"deadline", "", &EngineStats::rejected_deadline},
};

constexpr Metric<int64_t> kGauges[] = {
    {"rwkv_queue_depth", "Requests in the queue.", &EngineStats::queued},
    {"rwkv_requests_running", "Running requests.", &EngineStats::running},
    {"rwkv_state_cache_bytes", "Size of the states in the state cache.",
     &EngineStats::state_cache_bytes},
    {"rwkv_state_cache_entries", "States in the state cache.",
     &EngineStats::state_cache_entries},
    {"rwkv_state_cache_pinned", "Pinned prompts.",
     &EngineStats::state_cache_pinned},
};

constexpr Metric<Histogram::Snapshot> kHistograms[] = {
    {"rwkv_request_queue_seconds",
     "Time from the arrival of a request until it was admitted.",
     &EngineStats::queue_seconds},
    {"rwkv_prefill_seconds",
     "Time from admission of a request until its prompt was computed.",
     &EngineStats::prefill_seconds},
    {"rwkv_decode_seconds",
     "Time from the end of the prompt to the end of the output.",
     &EngineStats::decode_seconds},
    {"rwkv_step_seconds",
     "Duration of one step, which computes tokens of all running requests.",
     &EngineStats::step_seconds},
    {"rwkv_inter_token_latency_seconds",
     "Time between two tokens of a request; one observation per token after "
     "the first.",
     &EngineStats::inter_token_seconds},
    {"rwkv_batch_size", "Requests that were computed in one step.",
     &EngineStats::batch_size},
    {"rwkv_batch_tokens", "Tokens that were computed in one step.",
     &EngineStats::batch_tokens},
};

MetricFamily FinishedByReason(const EngineStats& stats) {
  MetricFamily family =
      EmptyFamily("rwkv_request_success_total",
                  "Requests that completed, by reason.", MetricType::Counter);
  for (int i = 0; i < kNumFinishReasons; ++i) {
    const auto reason = static_cast<FinishReason>(i);
    // These have metrics of their own.
    if (reason == FinishReason::kCancelled) continue;
    if (reason == FinishReason::kRefused) continue;
    if (IsFailure(reason)) continue;
    AddCounter(family, "finish_reason", NameOf(reason), stats.finished[i]);
  }
  return family;
}

MetricFamily FailedByReason(const EngineStats& stats) {
  MetricFamily family = EmptyFamily(
      "rwkv_requests_failed_total",
      "Requests that ended because the model's predictions were not finite "
      "numbers, or because its files were changed, by reason.",
      MetricType::Counter);
  const auto count = [&](FinishReason reason) {
    return stats.finished[static_cast<size_t>(reason)];
  };
  AddCounter(family, "reason", "not_finite", count(FinishReason::kFailed));
  AddCounter(family, "reason", "model_changed",
             count(FinishReason::kModelChanged));
  return family;
}

MetricFamily RejectedByReason(const EngineStats& stats) {
  MetricFamily family = EmptyFamily(
      "rwkv_requests_rejected_total",
      "Valid requests that were refused, by reason.", MetricType::Counter);
  for (const Metric<uint64_t>& reason : kRejections) {
    AddCounter(family, "reason", reason.name, stats.*reason.member);
  }
  return family;
}

// One counter per source of drafts.
MetricFamily DraftTokens(const char* name, const char* help,
                         const std::array<uint64_t, kNumDraftKinds>& tokens) {
  MetricFamily family = EmptyFamily(name, help, MetricType::Counter);
  for (int i = 0; i < kNumDraftKinds; ++i) {
    AddCounter(family, "source", NameOf(static_cast<DraftKind>(i)), tokens[i]);
  }
  return family;
}

MetricFamily ModelInfo(const ServedModel& model) {
  MetricFamily family = ToGauge(
      "rwkv_model_info", "Always 1; the labels describe the served model.", 1);
  const ModelConfig& config = model.model->config();
  family.metric[0].label = {
      {"architecture", std::string(NameOf(config.architecture))},
      {"fingerprint", model.fingerprint},
      {"isa", model.isa},
      {"model", model.name},
      {"tokenizer", std::string(model.tokenizer->kind())},
      {"version", kVersion},
      {"weight_type", config.weight_type}};
  return family;
}

MetricFamily PlannedMemory(const MemoryPlan& plan) {
  MetricFamily family = EmptyFamily(
      "rwkv_memory_plan_bytes",
      "The most memory that each part of the server may take, as it was "
      "planned at start.",
      MetricType::Gauge);
  for (const MemoryPlan::Part& part : plan.parts) {
    AddGauge(family, "part", part.name, static_cast<double>(part.bytes));
  }
  return family;
}

}  // namespace

std::vector<MetricFamily> ToMetricFamilies(const EngineStats& stats) {
  std::vector<MetricFamily> families;
  for (const Metric<int64_t>& gauge : kGauges) {
    families.push_back(ToGauge(gauge.name, gauge.help,
                               static_cast<double>(stats.*gauge.member)));
  }
  families.push_back(
      ToGauge("rwkv_ffn_sparsity",
              "Share of the hidden units of channel mixing that "
              "were zero, and therefore skipped, in the last step.",
              stats.ffn_sparsity));
  for (const Metric<uint64_t>& counter : kCounters) {
    families.push_back(
        ToCounter(counter.name, counter.help, stats.*counter.member));
  }
  families.push_back(DraftTokens(
      "rwkv_draft_tokens_total",
      "Tokens that were guessed and verified, by the source of the guess.",
      stats.drafted_tokens));
  families.push_back(DraftTokens(
      "rwkv_draft_tokens_accepted_total",
      "Guessed tokens that were right and saved a step, by the source of the "
      "guess.",
      stats.accepted_tokens));
  families.push_back(ToCounter(
      "rwkv_requests_cancelled_total",
      "Requests that were ended early, by the client, its deadline or "
      "the server's shutdown.",
      stats.finished[static_cast<size_t>(FinishReason::kCancelled)]));
  families.push_back(FailedByReason(stats));
  families.push_back(FinishedByReason(stats));
  families.push_back(RejectedByReason(stats));
  for (const Metric<Histogram::Snapshot>& histogram : kHistograms) {
    families.push_back(
        ToHistogram(histogram.name, histogram.help, stats.*histogram.member));
  }
  return families;
}

std::vector<MetricFamily> ToMetricFamilies(const ServerLoad& load) {
  const EngineLoad& engine = load.engine;
  const auto gauge = [](const char* name, const char* help, auto value) {
    return ToGauge(name, help, static_cast<double>(value));
  };
  return {
      gauge("rwkv_slots", "Slots: requests that may run at the same time.",
            engine.slots),
      gauge("rwkv_slots_used_ratio", "Share of the slots that are in use.",
            static_cast<double>(engine.running) /
                static_cast<double>(engine.slots)),
      gauge("rwkv_utilization_ratio",
            "Running and queued requests divided by the slots: above 1, "
            "requests wait.",
            engine.utilization()),
      gauge("rwkv_queue_limit", "The maximum number of requests in the queue.",
            engine.max_queued),
      gauge("rwkv_queue_oldest_wait_seconds",
            "How long the request has waited that has waited longest; 0 if "
            "none waits.",
            absl::ToDoubleSeconds(engine.oldest_wait)),
      gauge("rwkv_queue_prompt_tokens",
            "Tokens that queued requests must have computed before their first "
            "token.",
            engine.queued_prompt_tokens),
      gauge("rwkv_accepted_tokens",
            "Tokens of all running and queued requests, counting their prompts "
            "and max_tokens.",
            engine.total_tokens),
      gauge("rwkv_accepted_tokens_limit",
            "The maximum of rwkv_accepted_tokens (--max_total_tokens).",
            engine.max_total_tokens),
      gauge("rwkv_recent_generation_tokens_per_second",
            "Generated tokens per second, over the last ten seconds.",
            engine.generated_tokens_per_second),
      gauge("rwkv_recent_prompt_tokens_per_second",
            "Computed tokens of prompts, contexts and scored texts per second, "
            "over the last ten seconds.",
            engine.prompt_tokens_per_second),
      gauge("rwkv_recent_requests_per_second",
            "Requests that ended per second, over the last ten seconds.",
            engine.requests_per_second),
      gauge("rwkv_running_state_bytes",
            "Size of the states of running requests.",
            load.running_state_bytes),
      gauge("rwkv_state_cache_limit_bytes",
            "The maximum of rwkv_state_cache_bytes, with pinned states.",
            load.cached_state_limit),
      gauge("rwkv_state_store_limit_bytes",
            "The maximum of rwkv_state_store_bytes.", load.stored_state_limit),
  };
}

std::vector<MetricFamily> EngineCollector::Collect() const {
  const ServedModel* const model = model_.load(std::memory_order_acquire);
  std::vector<MetricFamily> families;
  if (model != nullptr) {
    families = ToMetricFamilies(model->engine->Stats());
    for (MetricFamily& family : ToMetricFamilies(LoadOf(*model))) {
      families.push_back(std::move(family));
    }
    families.push_back(ModelInfo(*model));
    families.push_back(PlannedMemory(model->memory_plan));
    families.push_back(
        ToGauge("rwkv_memory_limit_bytes",
                "The memory limit that applies to the server.",
                static_cast<double>(model->memory_plan.limit.bytes)));
    const StateStore::Figures states = model->states->store().figures();
    families.push_back(ToGauge("rwkv_state_store_handles",
                               "States that are saved for clients.",
                               static_cast<double>(states.handles)));
    families.push_back(ToGauge("rwkv_state_store_bytes",
                               "Size of the states that are saved for clients.",
                               static_cast<double>(states.bytes)));
    families.push_back(ToGauge("rwkv_state_store_usable",
                               "1 if the last access to the saved states "
                               "succeeded, 0 if --state_dir or "
                               "--state_store has failed.",
                               states.is_usable ? 1 : 0));
    families.push_back(ToGauge("rwkv_threads", "Compute threads.",
                               model->pool->num_threads()));
  }
  families.push_back(ToGauge(
      "rwkv_load_progress_ratio",
      "Share of the model's files that --preload has read, from 0 to 1; 1 "
      "once the model is served.",
      model != nullptr ? 1 : load_progress_.ratio()));
  return families;
}

}  // namespace rwkvd
