// SPDX-License-Identifier: Apache-2.0
#include "core/engine/engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/engine/field_error.h"
#include "core/engine/retry_after.h"
#include "core/engine/sequence/generate_sequence.h"
#include "core/engine/sequence/score_sequence.h"
#include "core/engine/validate.h"
#include "core/engine/vocabulary.h"

namespace rwkvd {
namespace {

// The retry time if the release rate of slots is unknown, and its bounds.
constexpr absl::Duration kDefaultRetryAfter = absl::Seconds(1);
constexpr absl::Duration kMinRetryAfter = absl::Milliseconds(100);
constexpr absl::Duration kMaxRetryAfter = absl::Minutes(1);

std::vector<NamedState> WithDefaultState(std::vector<NamedState> states,
                                         const Model& model) {
  if (states.empty()) states.push_back({kOwnStateName, model.NewState()});
  return states;
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
      ReserveSlots(DemandOf(request, num_samples), /*continues=*/false));
  return Enqueue(std::move(reservation), std::move(request), sinks);
}

absl::StatusOr<Engine::Reservation> Engine::Reserve(
    const GenerateRequest& request, int64_t num_samples) {
  RWKVD_CHECK(request.start == nullptr);
  RWKVD_RETURN_IF_ERROR(Check(request, num_samples));
  return ReserveSlots(DemandOf(request, num_samples), /*continues=*/false);
}

absl::StatusOr<std::vector<Engine::RequestId>> Engine::Submit(
    Reservation reservation, GenerateRequest request,
    absl::Span<GenerateSink* const> sinks) {
  RWKVD_CHECK(static_cast<int64_t>(sinks.size()) == reservation.num_samples_);
  RWKVD_RETURN_IF_ERROR(ValidateStart(request, options_));
  RWKVD_RETURN_IF_ERROR(
      Extend(&reservation, DemandOf(request, reservation.num_samples_)));
  return Enqueue(std::move(reservation), std::move(request), sinks);
}

absl::StatusOr<Engine::RequestId> Engine::Submit(ScoreRequest request,
                                                 ScoreSink* sink) {
  RWKVD_RETURN_IF_ERROR(
      Validate(request, options_, model_->config().vocab_size));
  RWKVD_RETURN_IF_ERROR(CheckInitialState(request.initial_state));
  RWKVD_ASSIGN_OR_RETURN(
      Reservation reservation,
      ReserveSlots({.tokens = TokensOf(request), .bytes = MemoryOf(request)},
                   request.continues));
  reservation.engine_ = nullptr;
  const RequestId id = reservation.first_id_;
  auto sequence =
      std::make_unique<ScoreSequence>(id, std::move(request), sink, &counters_);
  sequence->SetMemory({memory_, std::move(reservation.bytes_)});
  Enqueue(std::move(sequence));
  return id;
}

absl::Status Engine::Check(const GenerateRequest& request,
                           int64_t num_samples) const {
  RWKVD_RETURN_IF_ERROR(
      Validate(request, options_, model_->config().vocab_size));
  if (!tokenizer_->has_bytes() && !request.stop_strings.empty()) {
    return FieldError("stop_strings",
                      "this model has no tokenizer; use stop_tokens");
  }
  RWKVD_RETURN_IF_ERROR(ValidateTokens(request.sampling, vocabulary_));
  RWKVD_RETURN_IF_ERROR(CheckInitialState(request.initial_state));
  RWKVD_RETURN_IF_ERROR(ValidateSamples("samples", num_samples, options_));
  if (!request.resume || num_samples == 1) return absl::OkStatus();
  return FieldError(
      "samples",
      absl::StrCat(num_samples, " samples of a resumed request, must be 1"));
}

absl::Status Engine::CheckInitialState(int32_t index) const {
  const auto size = static_cast<int32_t>(initial_states_.size());
  if (index >= 0 && index < size) return absl::OkStatus();
  return FieldError("initial_state",
                    absl::StrCat(index, " is not in [0, ", size, ")"));
}

Engine::Demand Engine::DemandOf(const GenerateRequest& request,
                                int64_t num_samples) const {
  return {num_samples, TokensOf(request),
          MemoryOf(request, vocabulary_.num_ids)};
}

absl::Status Engine::CheckShare(const Demand& demand) const {
  const char* const field = demand.num_samples > 1 ? "samples" : "request";
  const int64_t tokens = demand.num_samples * demand.tokens;
  const int64_t max_tokens = MaxRequestTokens(options_);
  if (tokens > max_tokens && demand.num_samples > 1) {
    return FieldError(
        field, absl::StrCat(demand.num_samples, " samples of up to ",
                            demand.tokens, " tokens count for ", tokens,
                            " tokens, one request may count for at most ",
                            max_tokens));
  }
  const int64_t bytes = demand.num_samples * demand.bytes;
  const int64_t max_bytes = options_.max_request_bytes / 2;
  if (bytes <= max_bytes) return absl::OkStatus();
  return FieldError(
      field, absl::StrCat("takes up to ", bytes,
                          " bytes of memory, one request may take at most ",
                          max_bytes, " on this server"));
}

absl::Status Engine::CheckAccepting() {
  absl::MutexLock lock(&mutex_);
  return CheckRoom(1, /*continues=*/false);
}

absl::Status Engine::CheckRoom(int64_t num_samples, bool continues) {
  if (draining_) {
    counters_.rejected_draining.Add(1);
    // The retry is for another server.
    return WithRetryAfter(absl::UnavailableError("the server is shutting down"),
                          kMinRetryAfter);
  }
  const int64_t slots = int64_t{0} + options_.max_running + options_.max_queued;
  if (static_cast<int64_t>(live_.size()) + num_samples > slots && !continues) {
    counters_.rejected_queue_full.Add(1);
    return Exhausted(absl::StrCat("the queue is full: ", options_.max_running,
                                  " requests run and ", options_.max_queued,
                                  " wait"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Engine::Reservation> Engine::ReserveSlots(const Demand& demand,
                                                         bool continues) {
  RWKVD_RETURN_IF_ERROR(CheckShare(demand));
  const int64_t num_samples = demand.num_samples;
  absl::MutexLock lock(&mutex_);
  RWKVD_RETURN_IF_ERROR(CheckRoom(num_samples, continues));
  if (!continues) {
    RWKVD_RETURN_IF_ERROR(
        CheckTotalTokens(live_tokens_, num_samples * demand.tokens));
  }
  auto bytes = memory_->requests.Reserve(num_samples * demand.bytes);
  if (!bytes.has_value()) return OutOfMemory(num_samples * demand.bytes);
  const RequestId first = last_id_ + 1;
  for (int64_t i = 0; i < num_samples; ++i) {
    live_.emplace(++last_id_, demand.tokens);
  }
  live_tokens_ += num_samples * demand.tokens;
  return Reservation(this, first, num_samples, demand.tokens,
                     *std::move(bytes));
}

absl::Status Engine::Extend(Reservation* reservation, const Demand& demand) {
  RWKVD_RETURN_IF_ERROR(CheckShare(demand));
  absl::MutexLock lock(&mutex_);
  const int64_t others =
      live_tokens_ - reservation->num_samples_ * reservation->tokens_;
  const int64_t all = demand.num_samples * demand.tokens;
  RWKVD_RETURN_IF_ERROR(CheckTotalTokens(others, all));
  const int64_t bytes = demand.num_samples * demand.bytes;
  if (!reservation->bytes_.Resize(bytes)) return OutOfMemory(bytes);
  for (int64_t i = 0; i < reservation->num_samples_; ++i) {
    live_[reservation->first_id_ + i] = demand.tokens;
  }
  live_tokens_ = others + all;
  reservation->tokens_ = demand.tokens;
  return absl::OkStatus();
}

void Engine::Release(const Reservation& reservation) {
  absl::MutexLock lock(&mutex_);
  for (int64_t i = 0; i < reservation.num_samples_; ++i) {
    live_.erase(reservation.first_id_ + i);
  }
  live_tokens_ -= reservation.num_samples_ * reservation.tokens_;
}

absl::Status Engine::CheckTotalTokens(int64_t others, int64_t tokens) {
  if (tokens <= options_.max_total_tokens - others) return absl::OkStatus();
  counters_.rejected_total_tokens.Add(1);
  return Exhausted(absl::StrCat(
      "too many tokens: requests that run or wait count for ", others,
      " of at most ", options_.max_total_tokens, ", this one for ", tokens));
}

absl::Status Engine::OutOfMemory(int64_t bytes) {
  counters_.rejected_memory.Add(1);
  return Exhausted(absl::StrCat(
      "out of memory: requests that run or wait take ",
      memory_->requests.used(), " of at most ", memory_->requests.limit(),
      " bytes, this one up to ", bytes));
}

absl::Status Engine::Exhausted(absl::string_view why) const {
  // Half of a full queue is gone by then if no request arrives.
  const absl::Duration pause =
      slot_release_rate_.TimeFor(1 + options_.max_queued / 2)
          .value_or(kDefaultRetryAfter);
  return WithRetryAfter(absl::ResourceExhaustedError(why),
                        std::clamp(pause, kMinRetryAfter, kMaxRetryAfter));
}

std::vector<Engine::RequestId> Engine::Enqueue(
    Reservation reservation, GenerateRequest request,
    absl::Span<GenerateSink* const> sinks) {
  reservation.engine_ = nullptr;  // the sequences now use the slots
  std::shared_ptr<SharedPrompt> shared;
  std::shared_ptr<SampleGroup> group;
  if (sinks.size() > 1) {
    shared = std::make_shared<SharedPrompt>();
    group = std::make_shared<SampleGroup>();
  }
  const int64_t bytes =
      reservation.bytes_.bytes() / static_cast<int64_t>(sinks.size());
  std::vector<RequestId> ids;
  const auto enqueue = [&](GenerateRequest sample) {
    GenerateSink* const sink = sinks[ids.size()];
    sample.sampling.seed += ids.size();
    ids.push_back(reservation.first_id_ + ids.size());
    auto sequence = std::make_unique<GenerateSequence>(
        ids.back(), std::move(sample), vocabulary_, tokenizer_, sink,
        &counters_, shared);
    sequence->SetMemory({memory_, reservation.bytes_.Split(bytes)});
    sequence->SetGroup(group);
    Enqueue(std::move(sequence));
  };
  while (ids.size() + 1 < sinks.size()) enqueue(request);
  // The last sample takes the request itself, so that this thread holds no
  // reference to the start state once the engine thread may run the sample.
  enqueue(std::move(request));
  return ids;
}

void Engine::Enqueue(std::unique_ptr<Sequence> sequence) {
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

std::vector<PinnedPrefix> Engine::Pinned(absl::Time now) {
  state_cache_.Expire(now);
  return state_cache_.Pinned();
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

}  // namespace rwkvd
