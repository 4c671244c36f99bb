// SPDX-License-Identifier: Apache-2.0
#include "core/engine/sequence/sequence.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/sampling/logits.h"

namespace rwkvd {
namespace {

constexpr int32_t kStartToken = 0;

size_t NumProcessed(const Snapshot* snapshot) {
  return snapshot == nullptr ? 0
                             : snapshot->tokens.size() - snapshot->num_pending;
}

// Never negative, although a clock may be set back.
absl::Duration Between(absl::Time begin, absl::Time end) {
  return std::max(end - begin, absl::ZeroDuration());
}

}  // namespace

std::vector<int32_t> OrStartToken(std::vector<int32_t> tokens) {
  if (tokens.empty()) tokens.push_back(kStartToken);
  return tokens;
}

Sequence::Sequence(SequenceParams params)
    : id_(params.id),
      prompt_id_(params.shared_prompt == nullptr ? params.id
                                                 : params.shared_prompt->id()),
      tokens_(std::move(params.prompt)),
      prompt_size_(tokens_.size()),
      start_(std::move(params.start)),
      cache_use_(std::move(params.cache)),
      shared_prompt_(std::move(params.shared_prompt)),
      received_(params.received),
      deadline_(params.deadline),
      continues_(params.continues),
      starts_from_snapshot_(start_.snapshot != nullptr),
      counters_(params.counters),
      num_processed_(NumProcessed(start_.snapshot.get())) {
  usage_.prompt_tokens = params.usage_prompt_tokens;
}

Sequence::~Sequence() {
  if (has_slot_ && group_ != nullptr) --group_->num_running;
  if (has_slot_ && flow_use_ != nullptr) --flow_use_->num_running;
}

void Sequence::OccupySlot() {
  has_slot_ = true;
  if (flow_use_ != nullptr) ++flow_use_->num_running;
  if (group_ == nullptr) return;
  ++group_->num_running;
  group_->has_started = true;
}

void Sequence::AdmitFrom(State state, absl::Time now) {
  state_ = std::move(state);
  admitted_at_ = now;
  counters_->queue_seconds.Observe(PositiveSeconds(now - received_));
}

void Sequence::AdmitFromSnapshot(absl::Time now) {
  AdmitFrom(start_.snapshot->state, now);
  if (is_prefilled()) logits_ = start_.snapshot->logits;
}

void Sequence::AdmitFrom(const KnownPrefix& known, absl::Time now) {
  AdmitFrom(State(), now);
  ContinueFrom(known);
}

void Sequence::ContinueFrom(const KnownPrefix& known) {
  state_ = known.state;
  num_processed_ = static_cast<size_t>(known.num_tokens);
  RWKVD_CHECK(num_processed_ <= prompt_size_);
  // The start token of an empty prompt may be known, but is not reported.
  usage_.cached_tokens =
      std::min(static_cast<int64_t>(num_processed_), usage_.prompt_tokens);
  counters_->cached_tokens.Add(usage_.cached_tokens);
  if (!is_prefilled()) return;
  known_logits_ = known.logits;
  logits_ = known_logits_;
}

void Sequence::TakeOverPrefill(const Sequence& leader) {
  state_ = leader.state_;
  num_processed_ = leader.num_processed_;
  cache_use_ = leader.cache_use_;
  usage_.cached_tokens = leader.usage_.cached_tokens;
}

StepDemand Sequence::NextDemand() const {
  if (WaitsForLeader()) return {.prompt = prompt_id_};
  const auto begin = static_cast<int64_t>(num_processed_);
  const auto end = static_cast<int64_t>(tokens_.size());
  return {.tokens = cache_use_.NextSavePoint(begin).value_or(end) - begin,
          .decoding = is_prefilled(),
          .prompt = prompt_id_,
          .remaining = NumRequiredTokens()};
}

void Sequence::Plan(int64_t num_tokens, LogitsBuffer* buffer,
                    std::vector<Chunk>* chunks) {
  AddTokens(num_tokens, /*all_logits=*/false, buffer, chunks);
}

absl::Span<const float> Sequence::AddTokens(int64_t num_tokens, bool all_logits,
                                            LogitsBuffer* buffer,
                                            std::vector<Chunk>* chunks) {
  if (num_tokens == 0) return {};
  if (!is_prefilled()) counters_->prompt_tokens.Add(num_tokens);
  Chunk chunk;
  chunk.tokens =
      absl::MakeConstSpan(tokens_).subspan(num_processed_, num_tokens);
  chunk.state = &state_;
  num_processed_ += num_tokens;
  const bool is_last = num_processed_ == tokens_.size();
  if (all_logits) {
    chunk.wanted = LogitsWanted::kAll;
    chunk.logits = buffer->Take(num_tokens);
  } else if (is_last) {
    chunk.wanted = LogitsWanted::kLast;
    chunk.logits = buffer->Take(1);
  }
  DropLogits();
  const absl::Span<const float> logits = chunk.logits;
  if (is_last) logits_ = logits.last(buffer->vocab_size());
  chunks->push_back(chunk);
  return logits;
}

void Sequence::AddDraft(absl::Span<const int32_t> draft,
                        absl::Span<State> inner_states, LogitsBuffer* buffer,
                        std::vector<Chunk>* chunks) {
  RWKVD_CHECK(num_processed_ + 1 == tokens_.size());
  RWKVD_CHECK(draft.size() == inner_states.size() && !draft.empty());
  tokens_.insert(tokens_.end(), draft.begin(), draft.end());
  Chunk chunk;
  chunk.tokens = absl::MakeConstSpan(tokens_).subspan(num_processed_);
  chunk.state = &state_;
  chunk.wanted = LogitsWanted::kAll;
  chunk.logits = buffer->Take(static_cast<int64_t>(chunk.tokens.size()));
  chunk.inner_states = inner_states;
  ++num_processed_;
  DropLogits();
  draft_logits_ = chunk.logits;
  inner_states_ = inner_states;
  logits_ = LogitsInDraft(0);
  chunks->push_back(chunk);
}

absl::Span<const float> Sequence::LogitsInDraft(int64_t num_tokens) const {
  const size_t vocab_size = draft_logits_.size() / (inner_states_.size() + 1);
  return draft_logits_.subspan(num_tokens * vocab_size, vocab_size);
}

void Sequence::AcceptDraft(int64_t num_tokens) {
  if (inner_states_.empty()) return;
  const auto num_accepted = static_cast<size_t>(num_tokens);
  num_processed_ += num_accepted;
  tokens_.resize(num_processed_);
  logits_ = LogitsInDraft(num_tokens);
  if (num_accepted < inner_states_.size()) {
    std::swap(state_, inner_states_[num_accepted]);
  }
  inner_states_ = {};
}

Snapshot Sequence::TakeSnapshot() {
  Snapshot snapshot;
  snapshot.state = std::move(state_);
  snapshot.num_pending = static_cast<int64_t>(tokens_.size() - num_processed_);
  snapshot.tokens = std::move(tokens_);
  if (snapshot.num_pending == 0) {
    snapshot.logits.assign(logits_.begin(), logits_.end());
  }
  snapshot.prompt_tokens = usage_.prompt_tokens;
  snapshot.generated_tokens = usage_.generated_tokens;
  return snapshot;
}

void Sequence::DropLogits() {
  logits_ = {};
  known_logits_ = {};
  start_.snapshot = nullptr;
}

int64_t Sequence::NumLogitsTasks() const { return logits_.empty() ? 0 : 1; }

bool Sequence::CheckFinite(absl::Span<const float> logits) {
  const bool is_finite = AllFinite(logits);
  if (!is_finite) has_finite_logits_.store(false, std::memory_order_relaxed);
  return is_finite;
}

absl::Status Sequence::NonFiniteLogitsError() const {
  // A client may have made up the state, so the weights are not to blame.
  if (starts_from_snapshot_) {
    return MakeError(
        ErrorReason::kStateNotFinite,
        "the model's predictions after the saved state that the request "
        "continues from are not finite numbers");
  }
  return MakeError(
      ErrorReason::kModelNotFinite,
      "the model's predictions are not finite numbers: its weights are damaged "
      "or its arithmetic has overflowed");
}

bool Sequence::MarkPrefilled(absl::Time now) {
  if (!is_prefilled() || prefilled_at_.has_value()) return false;
  prefilled_at_ = now;
  CheckFinite(logits_);
  counters_->prefill_seconds.Observe(PositiveSeconds(now - *admitted_at_));
  return true;
}

void Sequence::Finish(FinishReason reason, const absl::Status& status,
                      absl::Time now) {
  FinishEvent event;
  event.reason = reason;
  event.status = status;
  event.usage = usage_;
  event.times = TimesAt(now);
  if (prefilled_at_.has_value()) {
    counters_->decode_seconds.Observe(
        absl::ToDoubleSeconds(event.times.decode));
  }
  counters_->finished[static_cast<int>(reason)].Add(1);
  SendFinish(std::move(event));
}

Times Sequence::TimesAt(absl::Time now) const {
  Times times;
  times.queue = Between(received_, admitted_at_.value_or(now));
  if (admitted_at_.has_value()) {
    times.prefill = Between(*admitted_at_, prefilled_at_.value_or(now));
  }
  if (prefilled_at_.has_value()) {
    times.decode = Between(*prefilled_at_, now);
  }
  if (first_token_at_.has_value()) {
    times.first_token = Between(received_, *first_token_at_);
  }
  return times;
}

}  // namespace rwkvd
