// SPDX-License-Identifier: Apache-2.0
#include "core/engine/sequence/generate_sequence.h"

#include <algorithm>
#include <utility>

#include "core/sampling/logits.h"

namespace rwkvd {
namespace {

// What the penalties see as the prompt: all that is read before the first token
// is drawn, so not what a request that is resumed has drawn.
absl::Span<const int32_t> GivenTokens(absl::Span<const int32_t> before,
                                      const GenerateRequest& request) {
  const int64_t drawn = request.resume ? request.start->generated_tokens : 0;
  return before.first(before.size() - static_cast<size_t>(drawn));
}

}  // namespace

GenerateSequence::GenerateSequence(Id id, GenerateRequest request,
                                   const SamplingVocabulary& vocabulary,
                                   const Tokenizer* tokenizer,
                                   GenerateSink* sink, EngineCounters* counters,
                                   std::shared_ptr<SharedPrompt> shared_prompt)
    : Sequence(id, std::move(request.prompt), EmptyPrompt::kStartToken,
               request.initial_state, request.use_state_cache && !request.echo,
               request.received, counters, request.start),
      tokenizer_(tokenizer),
      sink_(sink),
      max_tokens_(request.max_tokens),
      stop_tokens_(std::move(request.stop_tokens)),
      want_logprobs_(request.want_logprobs || request.top_logprobs > 0),
      top_logprobs_(request.top_logprobs),
      echo_top_logprobs_(request.echo_top_logprobs),
      want_sampled_logprobs_(request.want_sampled_logprobs ||
                             request.top_sampled_logprobs > 0),
      top_sampled_logprobs_(request.top_sampled_logprobs),
      snapshot_at_end_(request.snapshot_at_end),
      snapshot_on_drain_(request.snapshot_on_drain),
      seed_(request.sampling.seed),
      sampler_(request.sampling, vocabulary, GivenTokens(prompt(), request)),
      stop_matcher_(std::move(request.stop_strings)) {
  PinAs(std::move(request.pin));
  EndBy(request.deadline);
  Share(std::move(shared_prompt));
  if (request.resume) Resume(*request.start);
  // The token that an empty prompt reads is not the client's. Once something
  // was drawn, all of the prompt was told.
  echo_ = request.echo && usage().prompt_tokens > 0 &&
          usage().generated_tokens == 0;
  echo_begin_ = prompt().size() - (echo_ ? usage().prompt_tokens : 0);
}

void GenerateSequence::Resume(const Snapshot& start) {
  usage().prompt_tokens = start.prompt_tokens;
  usage().generated_tokens = start.generated_tokens;
  // What is yet to be read is prompt as long as nothing was drawn.
  const int64_t unread = start.generated_tokens > 0 ? 0 : start.num_pending;
  usage().cached_tokens = std::max<int64_t>(0, start.prompt_tokens - unread);
  sampler_.Resume(absl::MakeConstSpan(start.tokens)
                      .last(static_cast<size_t>(start.generated_tokens)),
                  start.sampler);
  utf8_stream_.Append(start.unfinished_text);
  stop_matcher_.Append(start.held_back);
}

StepDemand GenerateSequence::Next() const {
  StepDemand demand = Sequence::Next();
  if (Echoes()) demand.logits_rows = demand.tokens;
  return demand;
}

void GenerateSequence::Plan(int64_t num_tokens, LogitsBuffer* buffer,
                            std::vector<Chunk>* chunks) {
  if (!Echoes() || num_tokens == 0) {
    return Sequence::Plan(num_tokens, buffer, chunks);
  }
  const size_t begin = tokens_read().size();
  const absl::Span<const float> logits =
      Read(num_tokens, /*all_logits=*/true, buffer, chunks);
  const size_t end = tokens_read().size();
  // Each predicts the one after it; the first is told without.
  const size_t first = std::max(begin, echo_begin_);
  const size_t last = std::min(end, prompt().size() - 1);
  if (first >= end) return;
  if (first == echo_begin_) echoed_.push_back({prompt()[first]});
  for (size_t i = first + 1; i <= last; ++i) echoed_.push_back({prompt()[i]});
  num_scored_ = static_cast<int64_t>(last - std::min(first, last));
  vocab_size_ = buffer->vocab_size();
  echo_logits_ = logits.subspan((first - begin) * vocab_size_);
}

int64_t GenerateSequence::NumLogitsTasks() const {
  return num_scored_ + (max_tokens_ == 0 ? 0 : Sequence::NumLogitsTasks());
}

void GenerateSequence::ProcessLogits(int64_t task) {
  if (task < num_scored_) return ScorePromptToken(task);
  sampled_token_ = sampler_.Sample(
      logits(), want_sampled_logprobs_ ? &sampled_logprobs_ : nullptr,
      top_sampled_logprobs_);
  if (want_logprobs_) ComputeLogprobs();
}

void GenerateSequence::ScorePromptToken(int64_t task) {
  const absl::Span<const float> logits =
      echo_logits_.subspan(task * vocab_size_, vocab_size_);
  PromptEvent::Token& token =
      echoed_[echoed_.size() - static_cast<size_t>(num_scored_ - task)];
  const LogSoftmax log_softmax = ComputeLogSoftmax(logits);
  token.logprob = LogProbability(logits, log_softmax, token.id);
  std::vector<int32_t> ids;  // of its own: pieces run side by side
  LikeliestIds(logits, echo_top_logprobs_, &ids);
  for (const int32_t id : ids) {
    token.top.push_back({id, LogProbability(logits, log_softmax, id)});
  }
}

void GenerateSequence::ComputeLogprobs() {
  const LogSoftmax log_softmax = ComputeLogSoftmax(logits());
  logprob_ = LogProbability(logits(), log_softmax, sampled_token_);
  LikeliestIds(logits(), top_logprobs_, &top_ids_);
  top_.clear();
  for (const int32_t id : top_ids_) {
    top_.push_back({id, LogProbability(logits(), log_softmax, id)});
  }
}

std::optional<FinishReason> GenerateSequence::Deliver(absl::Time now) {
  if (!echoed_.empty()) {
    PromptEvent event;
    event.tokens = echoed_;
    sink_->OnPrompt(event);
    echoed_.clear();
    num_scored_ = 0;
  }
  if (max_tokens_ == 0 && prompt_is_read()) return FinishReason::kLength;
  if (NumLogitsTasks() == 0) return std::nullopt;  // still reading
  NoteToken(now);
  TokenEvent event;
  event.id = sampled_token_;
  event.logprob = logprob_;
  event.top = top_;
  if (want_sampled_logprobs_) event.sampled_logprob = sampled_logprobs_.logprob;
  event.top_sampled = sampled_logprobs_.top;
  std::optional<FinishReason> reason = EndingToken();
  if (!reason.has_value() && Release(&event))
    reason = FinishReason::kStopString;
  if (!reason.has_value() && usage().generated_tokens == max_tokens_) {
    reason = FinishReason::kLength;
  }
  sink_->OnToken(event);
  if (!reason.has_value()) Append(sampled_token_);
  return reason;
}

void GenerateSequence::NoteToken(absl::Time now) {
  ++usage().generated_tokens;
  counters().generated_tokens.Add(1);
  if (last_token_at_.has_value()) {
    counters().inter_token_seconds.Observe(
        PositiveSeconds(now - *last_token_at_));
  } else {
    NoteFirstToken(now);
  }
  last_token_at_ = now;
}

std::optional<FinishReason> GenerateSequence::EndingToken() const {
  // The client's own list first: what it asked for is what it is told.
  if (std::find(stop_tokens_.begin(), stop_tokens_.end(), sampled_token_) !=
      stop_tokens_.end()) {
    return FinishReason::kStopToken;
  }
  if (sampled_token_ == tokenizer_->end_of_text()) {
    return FinishReason::kEndOfText;
  }
  return std::nullopt;
}

bool GenerateSequence::Release(TokenEvent* event) {
  StopMatcher::Result match =
      stop_matcher_.Append(tokenizer_->TokenBytes(sampled_token_));
  stop_string_ = match.hit;
  bytes_ = std::move(match.released);
  text_ = utf8_stream_.Append(bytes_);
  // Nothing follows that could complete a character.
  if (stop_string_.has_value()) text_ += utf8_stream_.Finish();
  event->bytes = bytes_;
  event->text = text_;
  return stop_string_.has_value();
}

void GenerateSequence::SendFinish(FinishEvent event) {
  const bool at_end = snapshot_at_end_ && event.status.ok();
  if (is_suspended() || at_end) event.snapshot = MakeSnapshot(event);
  // The withheld bytes of a suspended request are in its snapshot.
  if (!is_suspended()) FlushText(&event);
  sink_->OnFinish(event);
}

void GenerateSequence::FlushText(FinishEvent* event) {
  bytes_ = stop_matcher_.Flush();
  text_ = utf8_stream_.Append(bytes_) + utf8_stream_.Finish();
  event->bytes = bytes_;
  event->text = text_;
  if (event->reason == FinishReason::kStopString) {
    event->stop_string = stop_matcher_.stops()[*stop_string_];
  }
}

std::shared_ptr<const Snapshot> GenerateSequence::MakeSnapshot(
    const FinishEvent& event) {
  auto snapshot = std::make_shared<Snapshot>(TakeSnapshot());
  const bool ends_text = event.reason == FinishReason::kLength ||
                         event.reason == FinishReason::kStopString;
  if (ends_text && max_tokens_ > 0) {
    // Part of the answer, and not read; other tokens that end one are not.
    snapshot->tokens.push_back(sampled_token_);
    snapshot->num_pending = 1;
    snapshot->logits.clear();
  }
  snapshot->is_resumable =
      is_suspended() || event.reason == FinishReason::kLength;
  if (!snapshot->is_resumable) {
    snapshot->prompt_tokens = snapshot->generated_tokens = 0;
    return snapshot;
  }
  snapshot->seed = seed_;
  snapshot->sampler = sampler_.progress();
  if (is_suspended()) {
    snapshot->held_back = stop_matcher_.held_back();
    snapshot->unfinished_text = utf8_stream_.pending();
  }
  return snapshot;
}

}  // namespace rwkvd
