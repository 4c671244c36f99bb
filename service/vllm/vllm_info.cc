// SPDX-License-Identifier: Apache-2.0
#include "service/vllm/vllm_info.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/version.h"
#include "core/base/monotonic_clock.h"

namespace rwkvd {
namespace {

namespace pb = ::vllm::grpc::engine;

int32_t Int32(int64_t number) {
  return static_cast<int32_t>(
      std::clamp<int64_t>(number, 0, std::numeric_limits<int32_t>::max()));
}

double Share(int64_t part, int64_t whole) {
  return whole == 0 ? 0
                    : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

std::string ModelTypeOf(Architecture architecture) {
  const absl::string_view name = NameOf(architecture);
  return std::string(name.substr(0, name.find('.')));
}

std::string ArchitectureClassOf(Architecture architecture) {
  std::string name = ModelTypeOf(architecture);
  name[0] = 'R';
  return absl::StrCat(name, "ForCausalLM");
}

uint32_t MaxContextLength(const ServedModel& model) {
  const EngineOptions& limits = model.engine->options();
  return static_cast<uint32_t>(
      Int32(limits.max_prompt_tokens + limits.max_generated_tokens));
}

void ToProto(const ServedModel& model, pb::GetModelInfoResponse* response) {
  const ModelConfig& config = model.model->config();
  response->set_model_path(model.name);
  response->set_served_model_name(model.name);
  response->set_is_generation(true);
  response->set_max_context_length(MaxContextLength(model));
  response->set_max_req_input_len(
      Int32(model.engine->options().max_prompt_tokens));
  response->set_vocab_size(static_cast<uint32_t>(Int32(config.vocab_size)));
  response->set_model_type(ModelTypeOf(config.architecture));
  response->add_architectures(ArchitectureClassOf(config.architecture));
  const auto end = model.tokenizer->end_of_text();
  if (!end.has_value()) return;
  response->add_eos_token_ids(*end);
  response->set_pad_token_id(*end);
  response->set_bos_token_id(*end);
}

void ToProto(const ServedModel& model, const ServerLoad& load,
             pb::GetServerInfoResponse* response) {
  response->set_active_requests(
      static_cast<uint32_t>(Int32(load.engine.running + load.engine.queued)));
  response->set_uptime_seconds(
      absl::ToDoubleSeconds(MonotonicNow() - model.loaded_at));
  response->set_server_type("rwkvd");
  response->set_data_parallel_size(1);
  response->set_max_num_seqs(Int32(load.engine.slots));
}

void ToProto(const ServerLoad& load, pb::GetLoadsResponse* response) {
  const EngineLoad& engine = load.engine;
  response->set_timestamp(absl::FormatTime("%Y-%m-%dT%H:%M:%E6S%Ez",
                                           absl::Now(), absl::UTCTimeZone()));
  response->set_version(kVersion);
  response->set_dp_rank_count(1);
  pb::SchedulerLoad* const rank = response->add_loads();
  rank->set_num_running_reqs(Int32(engine.running));
  rank->set_num_waiting_reqs(Int32(engine.queued));
  rank->set_num_total_reqs(Int32(engine.running + engine.queued));
  rank->set_num_used_tokens(Int32(engine.total_tokens));
  rank->set_max_total_num_tokens(Int32(engine.max_total_tokens));
  rank->set_token_usage(Share(engine.running, engine.slots));
  rank->set_gen_throughput(engine.generated_tokens_per_second);
  rank->set_utilization(engine.utilization());
  rank->set_max_running_requests(Int32(engine.slots));
  rank->set_num_waiting_uncached_tokens(Int32(engine.queued_prompt_tokens));
}

}  // namespace rwkvd
