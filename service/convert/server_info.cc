// SPDX-License-Identifier: Apache-2.0
#include "service/convert/server_info.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cli/version.h"
#include "core/base/monotonic_clock.h"
#include "core/engine/request.h"
#include "google/protobuf/stubs/common.h"

namespace rwkvd {

namespace v1 = ::rwkv::v1;

namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

std::string Build() {
  return absl::StrCat(
      "gcc ", __VERSION__, ", gRPC ", grpc::Version(), ", protobuf ",
      google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION));
}

std::string TextOf(bool value) { return value ? "true" : "false"; }

// By name.
std::vector<std::pair<const char*, std::string>> FlagsOf(
    const ServedModel& model) {
  const Options& options = model.options;
  const EngineOptions& engine = model.engine->options();
  std::vector<std::pair<const char*, std::string>> flags = {
      {"access_log", TextOf(options.access_log)},
      {"activations", std::string(NameOf(options.activations))},
      {"chat_template", model.chat_template == nullptr
                            ? "auto"
                            : std::string(model.chat_template->name)},
      {"drain_grace", absl::FormatDuration(options.drain_grace)},
      {"isa", model.isa},
      {"lame_duck", absl::FormatDuration(options.lame_duck)},
      {"max_decode_slowdown", absl::StrCat(engine.max_decode_slowdown)},
      {"max_draft_tokens", absl::StrCat(engine.max_draft_tokens)},
      {"max_generated_tokens", absl::StrCat(engine.max_generated_tokens)},
      {"max_message_mib", absl::StrCat(options.max_message_bytes / kMiB)},
      {"max_pending_states_mib",
       absl::StrCat(options.max_pending_states_bytes / kMiB)},
      {"max_pinned_states", absl::StrCat(engine.max_pinned)},
      {"max_prompt_tokens", absl::StrCat(engine.max_prompt_tokens)},
      {"max_queue_time", absl::FormatDuration(engine.max_queue_time)},
      {"max_queued", absl::StrCat(engine.max_queued)},
      {"max_running", absl::StrCat(engine.max_running)},
      {"max_step_tokens", absl::StrCat(engine.max_step_tokens)},
      {"max_total_tokens", absl::StrCat(engine.max_total_tokens)},
      {"pinned_states_mib", absl::StrCat(engine.max_pinned_bytes / kMiB)},
      {"preload", TextOf(options.preload)},
      {"reflection", TextOf(options.reflection)},
      {"state_cache_interval", absl::StrCat(engine.state_cache_interval)},
      {"state_cache_mib", absl::StrCat(engine.state_cache_bytes / kMiB)},
      {"state_store_mib", absl::StrCat(options.state_store_bytes / kMiB)},
      {"state_ttl", absl::FormatDuration(options.state_ttl)},
      {"stream_idle_timeout",
       absl::FormatDuration(options.stream_idle_timeout)},
      {"threads", absl::StrCat(model.pool->num_threads())},
      {"unread_timeout", absl::FormatDuration(options.unread_timeout)},
      {"verify_files", TextOf(options.verify_files)},
      {"vllm", TextOf(options.vllm)},
      {"weights", std::string(NameOf(options.weights))}};
  return flags;
}

std::vector<std::string> FeaturesOf(const ServedModel& model) {
  const Options& options = model.options;
  const EngineOptions& engine = model.engine->options();
  const std::pair<const char*, bool> all[] = {
      {"access_log", options.access_log},
      {"adapters", !options.adapters.empty()},
      {"conversations", model.tokenizer->has_bytes()},
      {"durable_states", model.states->store().outlives_process()},
      {"load_reports", true},
      {"pinned_prefixes", engine.max_pinned > 0 && engine.max_pinned_bytes > 0},
      {"reflection", options.reflection},
      {"request_ids", true},
      {"speculation", engine.max_draft_tokens > 0},
      {"state_cache", engine.state_cache_bytes > 0},
      {"text", model.tokenizer->has_bytes()},
      {"traces", !options.otlp_endpoint.empty()},
  };
  std::vector<std::string> features;
  for (const auto& [name, is_supported] : all) {
    if (is_supported) features.emplace_back(name);
  }
  return features;
}

void SetLimits(const ServedModel& model, v1::ServerLimits* limits) {
  const EngineOptions& engine = model.engine->options();
  limits->set_max_running(engine.max_running);
  limits->set_max_queued(engine.max_queued);
  limits->set_max_prompt_tokens(engine.max_prompt_tokens);
  limits->set_max_generated_tokens(engine.max_generated_tokens);
  limits->set_max_total_tokens(engine.max_total_tokens);
  limits->set_max_message_bytes(model.options.max_message_bytes);
  limits->set_max_samples(
      static_cast<int32_t>(std::min<int64_t>(kMaxSamples, engine.max_running)));
  if (engine.max_queue_time != absl::InfiniteDuration()) {
    limits->set_max_queue_seconds(absl::ToDoubleSeconds(engine.max_queue_time));
  }
  limits->set_max_pinned_prefixes(engine.max_pinned);
  limits->set_max_stored_state_bytes(model.options.state_store_bytes);
  limits->set_memory_bytes(model.memory_plan.limit.bytes);
}

}  // namespace

void ToProto(const ServedModel& model, v1::GetServerInfoResponse* response) {
  response->set_version(kVersion);
  response->set_build(Build());
  response->set_model(model.name);
  for (auto& [name, value] : FlagsOf(model)) {
    v1::ServerFlag* const flag = response->add_flags();
    flag->set_name(name);
    flag->set_value(std::move(value));
  }
  SetLimits(model, response->mutable_limits());
  for (std::string& feature : FeaturesOf(model)) {
    response->add_features(std::move(feature));
  }
  response->set_uptime_seconds(
      absl::ToDoubleSeconds(MonotonicNow() - model.loaded_at));
}

void ToProto(const ServerLoad& load, v1::GetLoadResponse* response) {
  const EngineLoad& engine = load.engine;
  response->set_slots_used(static_cast<int32_t>(engine.running));
  response->set_slots_total(static_cast<int32_t>(engine.slots));
  response->set_queue_length(static_cast<int32_t>(engine.queued));
  response->set_queue_limit(static_cast<int32_t>(engine.max_queued));
  response->set_oldest_wait_seconds(absl::ToDoubleSeconds(engine.oldest_wait));
  response->set_queued_prompt_tokens(engine.queued_prompt_tokens);
  response->set_generated_tokens_per_second(engine.generated_tokens_per_second);
  response->set_prompt_tokens_per_second(engine.prompt_tokens_per_second);
  response->set_total_tokens(engine.total_tokens);
  response->set_utilization(engine.utilization());
  response->set_requests_per_second(engine.requests_per_second);
  v1::StateMemory* const memory = response->mutable_state_memory();
  memory->set_running_bytes(load.running_state_bytes);
  memory->set_cached_bytes(load.cached_state_bytes);
  memory->set_cached_limit_bytes(load.cached_state_limit);
  memory->set_stored_bytes(load.stored_state_bytes);
  memory->set_stored_limit_bytes(load.stored_state_limit);
}

}  // namespace rwkvd
