// SPDX-License-Identifier: Apache-2.0
#include "service/metrics/engine_collector.h"

#include <cstddef>
#include <limits>
#include <string>
#include <utility>

#include "cli/version.h"
#include "core/model/config.h"
#include "prometheus/client_metric.h"

namespace rwkvd {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Family(const char* name, const char* help, MetricType type) {
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  return family;
}

MetricFamily Gauge(const char* name, const char* help, double value) {
  MetricFamily family = Family(name, help, MetricType::Gauge);
  family.metric.emplace_back().gauge.value = value;
  return family;
}

MetricFamily Counter(const char* name, const char* help, uint64_t value) {
  MetricFamily family = Family(name, help, MetricType::Counter);
  family.metric.emplace_back().counter.value = static_cast<double>(value);
  return family;
}

void AddLabeled(MetricFamily& family, const char* label,
                absl::string_view label_value, uint64_t value) {
  ClientMetric& metric = family.metric.emplace_back();
  metric.label.push_back({label, std::string(label_value)});
  metric.counter.value = static_cast<double>(value);
}

MetricFamily FromHistogram(const char* name, const char* help,
                           const Histogram::Snapshot& snapshot) {
  MetricFamily family = Family(name, help, MetricType::Histogram);
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

MetricFamily FinishedByReason(const EngineStats& stats) {
  MetricFamily family =
      Family("rwkv_request_success_total",
             "Requests that ran to an end of their own, by reason.",
             MetricType::Counter);
  for (int i = 0; i < kNumFinishReasons; ++i) {
    const auto reason = static_cast<FinishReason>(i);
    // Counted apart.
    if (reason == FinishReason::kCancelled) continue;
    if (reason == FinishReason::kRefused) continue;
    AddLabeled(family, "finish_reason", NameOf(reason), stats.finished[i]);
  }
  return family;
}

MetricFamily RejectedByReason(const EngineStats& stats) {
  MetricFamily family = Family("rwkv_requests_rejected_total",
                               "Valid requests that were not run, by reason.",
                               MetricType::Counter);
  AddLabeled(family, "reason", "queue_full", stats.rejected_queue_full);
  AddLabeled(family, "reason", "draining", stats.rejected_draining);
  AddLabeled(family, "reason", "total_tokens", stats.rejected_total_tokens);
  AddLabeled(family, "reason", "queue_time", stats.rejected_queue_time);
  AddLabeled(family, "reason", "deadline", stats.rejected_deadline);
  return family;
}

void AppendCounters(const EngineStats& stats,
                    std::vector<MetricFamily>& families) {
  families.push_back(Counter("rwkv_prompt_tokens_total",
                             "Prompt and context tokens read.",
                             stats.prompt_tokens));
  families.push_back(
      Counter("rwkv_prompt_tokens_cached_total",
              "Prompt and context tokens not read again: the state after them "
              "was still known.",
              stats.cached_tokens));
  families.push_back(Counter("rwkv_generation_tokens_total", "Tokens drawn.",
                             stats.generated_tokens));
  families.push_back(Counter("rwkv_scored_tokens_total",
                             "Tokens of continuations scored.",
                             stats.scored_tokens));
  families.push_back(
      Counter("rwkv_steps_total", "Forward passes.", stats.steps));
  families.push_back(
      Counter("rwkv_requests_cancelled_total",
              "Requests ended early: by the client, its "
              "deadline, or the server's shutdown.",
              stats.finished[static_cast<size_t>(FinishReason::kCancelled)]));
  families.push_back(FinishedByReason(stats));
  families.push_back(RejectedByReason(stats));
}

void AppendStateCache(const EngineStats& stats,
                      std::vector<MetricFamily>& families) {
  families.push_back(Counter("rwkv_state_cache_queries_total",
                             "Look-ups of a prompt's states.",
                             stats.state_cache_queries));
  families.push_back(Counter("rwkv_state_cache_hits_total",
                             "Look-ups that found the state of a prefix.",
                             stats.state_cache_hits));
  families.push_back(Counter("rwkv_state_cache_evictions_total",
                             "States dropped to make room.",
                             stats.state_cache_evictions));
  families.push_back(Gauge("rwkv_ffn_sparsity",
                           "Share of channel mixing's hidden units that were "
                           "zero in the last step and skipped.",
                           stats.ffn_sparsity));
  families.push_back(Gauge("rwkv_state_cache_bytes",
                           "Memory of the states kept.",
                           static_cast<double>(stats.state_cache_bytes)));
  families.push_back(Gauge("rwkv_state_cache_entries", "States kept.",
                           static_cast<double>(stats.state_cache_entries)));
  families.push_back(Gauge("rwkv_state_cache_pinned",
                           "Names of pinned prompts.",
                           static_cast<double>(stats.state_cache_pinned)));
}

void AppendHistograms(const EngineStats& stats,
                      std::vector<MetricFamily>& families) {
  families.push_back(FromHistogram(
      "rwkv_request_queue_seconds",
      "Time from a request's receipt until it joined the running ones.",
      stats.queue_seconds));
  families.push_back(
      FromHistogram("rwkv_prefill_seconds",
                    "Time from joining the running requests until the prompt "
                    "was read.",
                    stats.prefill_seconds));
  families.push_back(FromHistogram(
      "rwkv_decode_seconds", "Time from the prompt's end to the answer's.",
      stats.decode_seconds));
  families.push_back(FromHistogram("rwkv_step_seconds",
                                   "Time of one step of all that runs.",
                                   stats.step_seconds));
  families.push_back(
      FromHistogram("rwkv_inter_token_latency_seconds",
                    "Time between two tokens of a request, one observation "
                    "for each token after the first.",
                    stats.inter_token_seconds));
  families.push_back(FromHistogram(
      "rwkv_batch_size", "Sequences computed in one step.", stats.batch_size));
  families.push_back(FromHistogram(
      "rwkv_batch_tokens", "Tokens computed in one step.", stats.batch_tokens));
}

MetricFamily ModelInfo(const ServedModel& model) {
  MetricFamily family =
      Gauge("rwkv_model_info", "Always 1; its labels tell what is served.", 1);
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

}  // namespace

std::vector<MetricFamily> ToMetricFamilies(const EngineStats& stats) {
  std::vector<MetricFamily> families;
  families.push_back(Gauge("rwkv_queue_depth",
                           "Requests that wait to join the running ones.",
                           static_cast<double>(stats.queued)));
  families.push_back(Gauge("rwkv_requests_running",
                           "Requests computed together now.",
                           static_cast<double>(stats.running)));
  AppendCounters(stats, families);
  AppendStateCache(stats, families);
  AppendHistograms(stats, families);
  return families;
}

std::vector<MetricFamily> EngineCollector::Collect() const {
  const ServedModel* const model = model_.load(std::memory_order_acquire);
  std::vector<MetricFamily> families;
  if (model != nullptr) {
    families = ToMetricFamilies(model->engine->Stats());
    families.push_back(ModelInfo(*model));
    const StateStore::Figures states = model->states->store().figures();
    families.push_back(Gauge("rwkv_state_store_handles",
                             "States that clients have handles of.",
                             static_cast<double>(states.handles)));
    families.push_back(Gauge("rwkv_state_store_bytes", "Bytes of these states.",
                             static_cast<double>(states.bytes)));
    families.push_back(Gauge("rwkv_threads", "Threads that compute.",
                             model->pool->num_threads()));
  }
  families.push_back(
      Gauge("rwkv_load_progress_ratio",
            "How much of the model has been read before it is served, 0 to 1; "
            "1 once it is served.",
            model != nullptr ? 1 : load_progress_.ratio()));
  return families;
}

}  // namespace rwkvd
