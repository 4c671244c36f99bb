// SPDX-License-Identifier: Apache-2.0
#include "core/engine/engine.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/engine/sequence/generate_sequence.h"
#include "core/engine/sequence/score_sequence.h"
#include "core/engine/validate.h"
#include "core/engine/vocabulary.h"

namespace rwkvd {
namespace {

std::vector<NamedState> WithDefaultState(std::vector<NamedState> states,
                                         const Model& model) {
  if (states.empty()) states.push_back({kOwnStateName, model.NewState()});
  return states;
}

std::shared_ptr<ByteBudget> FlowBytesOf(const std::shared_ptr<FlowUse>& use) {
  return use == nullptr ? nullptr : use->bytes;
}

}  // namespace

Engine::Engine(const EngineOptions& options, const Model* model,
               const Tokenizer* tokenizer, ThreadPool* pool,
               std::vector<NamedState> initial_states)
    : options_(options),
      model_(model),
      tokenizer_(tokenizer),
      vocabulary_(VocabularyOf(*tokenizer, model->config().vocab_size)),
      initial_states_(WithDefaultState(std::move(initial_states), *model)),
      memory_(std::make_shared<EngineMemory>(options.max_request_bytes)),
      state_cache_({options.state_cache_bytes, options.max_pinned_bytes,
                    options.max_pinned}),
      runner_(options, model, initial_states_, &state_cache_, pool, &counters_),
      thread_([this] { Run(); }) {}

Engine::~Engine() {
  Drain(absl::InfinitePast());
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  thread_.join();
}

absl::StatusOr<Engine::RequestId> Engine::Submit(GenerateRequest request,
                                                 GenerateSink* sink) {
  RWKVD_ASSIGN_OR_RETURN(
      const std::vector<RequestId> ids,
      Submit(std::move(request), absl::MakeConstSpan(&sink, 1)));
  return ids[0];
}

absl::StatusOr<std::vector<Engine::RequestId>> Engine::Submit(
    GenerateRequest request, absl::Span<GenerateSink* const> sinks) {
  const auto num_samples = static_cast<int64_t>(sinks.size());
  RWKVD_RETURN_IF_ERROR(Check(request, num_samples));
  RWKVD_RETURN_IF_ERROR(ValidateStart(request, options_));
  RWKVD_ASSIGN_OR_RETURN(
      Reservation reservation,
      ReserveSlots(CostOf(request, num_samples), /*continues=*/false));
  return Enqueue(std::move(reservation), std::move(request), sinks);
}

absl::StatusOr<std::vector<Engine::RequestId>> Engine::Submit(
    Reservation reservation, GenerateRequest request,
    absl::Span<GenerateSink* const> sinks) {
  RWKVD_CHECK(static_cast<int64_t>(sinks.size()) == reservation.num_samples_);
  RWKVD_RETURN_IF_ERROR(ValidateStart(request, options_));
  RWKVD_RETURN_IF_ERROR(
      Extend(&reservation, CostOf(request, reservation.num_samples_)));
  return Enqueue(std::move(reservation), std::move(request), sinks);
}

absl::StatusOr<Engine::RequestId> Engine::Submit(ScoreRequest request,
                                                 ScoreSink* sink) {
  RWKVD_RETURN_IF_ERROR(
      Validate(request, options_, model_->config().vocab_size));
  RWKVD_RETURN_IF_ERROR(CheckInitialState(request.initial_state));
  RWKVD_ASSIGN_OR_RETURN(Reservation reservation,
                         ReserveSlots({.tokens = TokensOf(request),
                                       .bytes = MemoryOf(request),
                                       .flow = &request.flow},
                                      request.continues));
  reservation.engine_ = nullptr;
  const RequestId id = reservation.first_id_;
  Flow flow = request.flow;
  auto sequence =
      std::make_unique<ScoreSequence>(id, std::move(request), sink, &counters_);
  sequence->SetMemory({memory_, FlowBytesOf(reservation.flow_use_),
                       std::move(reservation.bytes_)});
  sequence->SetFlow(std::move(flow), std::move(reservation.flow_use_));
  Enqueue(std::move(sequence));
  return id;
}

std::vector<Engine::RequestId> Engine::Enqueue(
    Reservation reservation, GenerateRequest request,
    absl::Span<GenerateSink* const> sinks) {
  reservation.engine_ = nullptr;  // the sequences now use the slots
  std::shared_ptr<SharedPrompt> shared;
  std::shared_ptr<SampleGroup> group;
  if (sinks.size() > 1) {
    shared = std::make_shared<SharedPrompt>(reservation.first_id_);
    group = std::make_shared<SampleGroup>();
  }
  const int64_t bytes =
      reservation.bytes_.bytes() / static_cast<int64_t>(sinks.size());
  std::vector<RequestId> ids;
  const auto enqueue = [&](GenerateRequest sample,
                           std::shared_ptr<SharedPrompt> shared_prompt,
                           std::shared_ptr<SampleGroup> sample_group) {
    GenerateSink* const sink = sinks[ids.size()];
    sample.sampling.seed += ids.size();
    ids.push_back(reservation.first_id_ + ids.size());
    Flow flow = sample.flow;
    auto sequence = std::make_unique<GenerateSequence>(
        ids.back(), std::move(sample), vocabulary_, tokenizer_, sink,
        &counters_, std::move(shared_prompt));
    sequence->SetMemory({memory_, FlowBytesOf(reservation.flow_use_),
                         reservation.bytes_.Split(bytes)});
    sequence->SetGroup(std::move(sample_group));
    sequence->SetFlow(std::move(flow), reservation.flow_use_);
    Enqueue(std::move(sequence));
  };
  while (ids.size() + 1 < sinks.size()) enqueue(request, shared, group);
  // The last sample takes the request and what the samples share, so that this
  // thread holds no reference to them once the engine thread may run the
  // sample: only the engine thread may destroy a SharedPrompt.
  enqueue(std::move(request), std::move(shared), std::move(group));
  return ids;
}

void Engine::Enqueue(std::unique_ptr<Sequence> sequence) {
  sequence->CountRequiredTokens();
  absl::MutexLock lock(&mutex_);
  queue_.push_back(std::move(sequence));
  ++num_new_;
}

void Engine::Cancel(RequestId id) {
  absl::MutexLock lock(&mutex_);
  if (live_.contains(id)) cancelled_.insert(id);
}

void Engine::SuspendRequests() {
  absl::MutexLock lock(&mutex_);
  suspending_ = true;
}

void Engine::Drain(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  suspending_ = draining_ = true;
  drain_deadline_ = std::min(drain_deadline_, deadline);
  mutex_.Await(absl::Condition(this, &Engine::AllHaveEnded));
}

std::vector<PinnedPrefix> Engine::Pinned(absl::Time now,
                                         absl::string_view partition) {
  state_cache_.Expire(now);
  return state_cache_.Pinned(partition);
}

EngineStats Engine::Stats() const {
  EngineStats stats = counters_.Read();
  const StateCache::Figures states = state_cache_.figures();
  stats.state_cache_bytes = states.bytes;
  stats.state_cache_entries = states.entries;
  stats.state_cache_evictions = static_cast<uint64_t>(states.evictions);
  stats.state_cache_pinned = states.pinned;
  absl::MutexLock lock(&mutex_);
  stats.queued = static_cast<int64_t>(queue_.size());
  return stats;
}

EngineLoad Engine::Load(absl::Time now) const {
  EngineLoad load;
  load.running = counters_.running.value();
  load.slots = options_.max_running;
  load.max_queued = options_.max_queued;
  load.max_total_tokens = options_.max_total_tokens;
  load.state_cache_bytes = state_cache_.figures().bytes;
  absl::MutexLock lock(&mutex_);
  load.queued = static_cast<int64_t>(queue_.size());
  const SampleGroup* last_group = nullptr;
  for (const auto& sequence : queue_) {
    load.oldest_wait = std::max(load.oldest_wait, now - sequence->received());
    // The samples of a request are next to one another.
    const SampleGroup* const group = sequence->group();
    const bool shares_prompt = group != nullptr && group == last_group;
    last_group = group;
    if (!shares_prompt) {
      load.queued_prompt_tokens += sequence->num_required_at_start();
    }
  }
  load.total_tokens = live_tokens_;
  load.generated_tokens_per_second = generated_rate_.PerSecond(now);
  load.prompt_tokens_per_second = prompt_rate_.PerSecond(now);
  load.requests_per_second = ended_rate_.PerSecond(now);
  return load;
}

}  // namespace rwkvd
