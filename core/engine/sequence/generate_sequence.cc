// SPDX-License-Identifier: Apache-2.0
#include "core/engine/sequence/generate_sequence.h"

#include <algorithm>
#include <utility>

#include "absl/strings/string_view.h"
#include "core/engine/draft/forced_text.h"
#include "core/engine/draft/prompt_lookup.h"
#include "core/sampling/logits.h"

namespace rwkvd {
namespace {

// All tokens to prefill: those of the snapshot first, if there is one.
std::vector<int32_t> TakePrompt(GenerateRequest& request) {
  std::vector<int32_t> prompt = std::move(request.prompt);
  if (request.start == nullptr) return OrStartToken(std::move(prompt));
  const std::vector<int32_t>& before = request.start->tokens;
  prompt.insert(prompt.begin(), before.begin(), before.end());
  return prompt;
}

// Moves prompt and pin out of `request`.
SequenceParams TakeParams(Sequence::Id id, GenerateRequest& request,
                          EngineCounters* counters,
                          std::shared_ptr<SharedPrompt> shared_prompt) {
  SequenceParams params;
  params.id = id;
  params.usage_prompt_tokens = static_cast<int64_t>(request.prompt.size());
  params.prompt = TakePrompt(request);
  params.start = {.initial_state = request.initial_state,
                  .snapshot = request.start};
  params.cache = {.enabled = request.use_state_cache && !request.echo &&
                             request.start == nullptr,
                  .start = PrefixStart(request.initial_state,
                                       std::move(request.cache_partition)),
                  .pin = std::move(request.pin),
                  .save_point = request.save_point};
  params.shared_prompt = std::move(shared_prompt);
  params.received = request.received;
  params.deadline = request.deadline;
  params.counters = counters;
  return params;
}

// The tokens that the penalties treat as the prompt: all those before the first
// sampled token. A resumed request has sampled the last tokens of `prompt`.
absl::Span<const int32_t> PenaltyPrompt(absl::Span<const int32_t> prompt,
                                        const GenerateRequest& request) {
  const int64_t sampled = request.resume ? request.start->generated_tokens : 0;
  return prompt.first(prompt.size() - static_cast<size_t>(sampled));
}

// The sources of drafts for an output that begins after `output_begin` tokens.
// `forced` outlives them.
std::vector<std::unique_ptr<DraftSource>> MakeDraftSources(
    absl::Span<const int32_t> forced, int64_t output_begin,
    int64_t max_tokens) {
  std::vector<std::unique_ptr<DraftSource>> sources;
  if (!forced.empty()) {
    sources.push_back(std::make_unique<ForcedText>(forced, output_begin));
  }
  sources.push_back(std::make_unique<PromptLookup>(output_begin + max_tokens));
  return sources;
}

}  // namespace

GenerateSequence::GenerateSequence(Id id, GenerateRequest request,
                                   const SamplingVocabulary& vocabulary,
                                   const Tokenizer* tokenizer,
                                   GenerateSink* sink, EngineCounters* counters,
                                   std::shared_ptr<SharedPrompt> shared_prompt)
    : Sequence(TakeParams(id, request, counters, std::move(shared_prompt))),
      tokenizer_(tokenizer),
      sink_(sink),
      max_tokens_(request.max_tokens),
      min_tokens_(request.sampling.min_tokens),
      stop_tokens_(std::move(request.stop_tokens)),
      ignore_end_of_text_(request.ignore_end_of_text),
      want_logprobs_(request.want_logprobs || request.top_logprobs > 0),
      top_logprobs_(request.top_logprobs),
      echo_top_logprobs_(request.echo_top_logprobs),
      want_sampled_logprobs_(request.want_sampled_logprobs ||
                             request.top_sampled_logprobs > 0),
      top_sampled_logprobs_(request.top_sampled_logprobs),
      snapshot_at_end_(request.snapshot_at_end),
      snapshot_on_drain_(request.snapshot_on_drain),
      seed_(request.sampling.seed),
      sampler_(request.sampling, vocabulary, PenaltyPrompt(prompt(), request)),
      stop_matcher_(std::move(request.stop_strings)),
      drafter_(MakeDraftSources(sampler_.forced_tokens(),
                                PenaltyPrompt(prompt(), request).size(),
                                max_tokens_)) {
  ReserveTokens(max_tokens_);
  if (request.resume) Resume(*request.start);
  // The start token of an empty prompt is not the client's. A resumed request
  // that has sampled a token had sent all of its prompt.
  echo_ = request.echo && usage().prompt_tokens > 0 &&
          usage().generated_tokens == 0;
  echo_begin_ = prompt().size() - (echo_ ? usage().prompt_tokens : 0);
}

void GenerateSequence::Resume(const Snapshot& start) {
  usage().prompt_tokens = start.prompt_tokens;
  usage().generated_tokens = start.generated_tokens;
  // Until the first token is sampled, the pending tokens belong to the prompt.
  const int64_t unread = start.generated_tokens > 0 ? 0 : start.num_pending;
  usage().cached_tokens = std::max<int64_t>(0, start.prompt_tokens - unread);
  sampler_.Resume(absl::MakeConstSpan(start.tokens)
                      .last(static_cast<size_t>(start.generated_tokens)),
                  start.sampler);
  utf8_stream_.Append(start.unfinished_text);
  stop_matcher_.Append(start.withheld_bytes);
}

StepDemand GenerateSequence::NextDemand() const {
  StepDemand demand = Sequence::NextDemand();
  if (Echoes()) demand.logits_rows = demand.tokens;
  return demand;
}

int64_t GenerateSequence::GuessDraft(int64_t max_tokens) {
  // The step samples one token more than the draft has.
  const int64_t left = max_tokens_ - usage().generated_tokens - 1;
  return drafter_.Guess(tokens(), std::min(max_tokens, left));
}

void GenerateSequence::Plan(int64_t num_tokens, LogitsBuffer* buffer,
                            std::vector<Chunk>* chunks) {
  if (!drafter_.draft().empty()) {
    return AddDraft(drafter_.draft(), drafter_.states(), buffer, chunks);
  }
  if (!Echoes() || num_tokens == 0) {
    return Sequence::Plan(num_tokens, buffer, chunks);
  }
  const size_t begin = processed_tokens().size();
  const absl::Span<const float> logits =
      AddTokens(num_tokens, /*all_logits=*/true, buffer, chunks);
  const size_t end = processed_tokens().size();
  // Each token predicts the next one. Nothing predicts the first.
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
  num_sampled_ = 0;
  if (!CheckFinite(logits())) return;
  Sample(logits());
  const absl::Span<const int32_t> draft = drafter_.draft();
  for (size_t i = 0; i < draft.size(); ++i) {
    const int32_t last = sampled_[i].id;
    if (last != draft[i] || EndingToken(last).has_value()) return;
    const absl::Span<const float> logits =
        LogitsInDraft(static_cast<int64_t>(i) + 1);
    // The next step computes them again, and fails if it must.
    if (!AllFinite(logits)) return;
    Sample(logits);
  }
}

void GenerateSequence::ScorePromptToken(int64_t task) {
  const absl::Span<const float> logits =
      echo_logits_.subspan(task * vocab_size_, vocab_size_);
  if (!CheckFinite(logits)) return;
  PromptEvent::Token& token =
      echoed_[echoed_.size() - static_cast<size_t>(num_scored_ - task)];
  const LogSoftmax log_softmax = ComputeLogSoftmax(logits);
  token.logprob = LogProbability(logits, log_softmax, token.id);
  std::vector<int32_t> ids;  // not a member: tasks run at the same time
  LikeliestIds(logits, echo_top_logprobs_, &ids);
  for (const int32_t id : ids) {
    token.top.push_back({id, LogProbability(logits, log_softmax, id)});
  }
}

void GenerateSequence::Sample(absl::Span<const float> logits) {
  if (num_sampled_ == sampled_.size()) sampled_.emplace_back();
  SampledToken& token = sampled_[num_sampled_++];
  token.id =
      sampler_.Sample(logits, want_sampled_logprobs_ ? &token.sampled : nullptr,
                      top_sampled_logprobs_);
  if (!want_logprobs_) return;
  const LogSoftmax log_softmax = ComputeLogSoftmax(logits);
  token.logprob = LogProbability(logits, log_softmax, token.id);
  LikeliestIds(logits, top_logprobs_, &top_ids_);
  token.top.clear();
  for (const int32_t id : top_ids_) {
    token.top.push_back({id, LogProbability(logits, log_softmax, id)});
  }
}

std::optional<FinishReason> GenerateSequence::SendResults(absl::Time now) {
  SendPrompt();
  if (max_tokens_ == 0 && is_prefilled()) return FinishReason::kLength;
  if (NumLogitsTasks() == 0) return std::nullopt;  // within the prompt
  std::optional<FinishReason> reason;
  size_t num_sent = 0;
  while (num_sent < num_sampled_ && !reason.has_value()) {
    reason = SendToken(sampled_[num_sent++], now);
  }
  SettleDraft(static_cast<int64_t>(num_sent));
  if (!reason.has_value()) Append(sampled_token_);
  return reason;
}

std::optional<FinishReason> GenerateSequence::SendToken(
    const SampledToken& token, absl::Time now) {
  sampled_token_ = token.id;
  CountToken(now);
  TokenEvent event;
  event.id = token.id;
  event.logprob = token.logprob;
  event.top = token.top;
  if (want_sampled_logprobs_) event.sampled_logprob = token.sampled.logprob;
  event.top_sampled = token.sampled.top;
  std::optional<FinishReason> reason = EndingToken(token.id);
  if (!reason.has_value() && ReleaseText(&event)) {
    reason = FinishReason::kStopString;
  }
  if (!reason.has_value() && usage().generated_tokens == max_tokens_) {
    reason = FinishReason::kLength;
  }
  sink_->OnToken(event);
  return reason;
}

void GenerateSequence::SettleDraft(int64_t num_sent) {
  const absl::Span<const int32_t> draft = drafter_.draft();
  const size_t num_verified = std::min(num_sampled_, draft.size());
  size_t num_right = 0;
  while (num_right < num_verified &&
         sampled_[num_right].id == draft[num_right]) {
    ++num_right;
  }
  if (!draft.empty()) {
    const auto kind = static_cast<size_t>(drafter_.kind());
    counters().drafted_tokens[kind].Add(static_cast<int64_t>(draft.size()));
    counters().accepted_tokens[kind].Add(num_sent - 1);
    usage().accepted_draft_tokens += num_sent - 1;
  }
  drafter_.Settle(num_sent, static_cast<int64_t>(num_right),
                  num_right < num_verified);
  AcceptDraft(num_sent - 1);
}

void GenerateSequence::SendPrompt() {
  if (echoed_.empty()) return;
  PromptEvent event;
  event.tokens = echoed_;
  sink_->OnPrompt(event);
  echoed_.clear();
  num_scored_ = 0;
}

void GenerateSequence::CountToken(absl::Time now) {
  ++usage().generated_tokens;
  counters().generated_tokens.Add(1);
  if (last_token_at_.has_value()) {
    counters().inter_token_seconds.Observe(
        PositiveSeconds(now - *last_token_at_));
  } else {
    MarkFirstToken(now);
  }
  last_token_at_ = now;
}

std::optional<FinishReason> GenerateSequence::EndingToken(int32_t token) const {
  // A token that is both in stop_tokens and the end of text counts as a stop
  // token: the client asked for that one.
  if (std::find(stop_tokens_.begin(), stop_tokens_.end(), token) !=
      stop_tokens_.end()) {
    return FinishReason::kStopToken;
  }
  if (!ignore_end_of_text_ && token == tokenizer_->end_of_text()) {
    return FinishReason::kEndOfText;
  }
  return std::nullopt;
}

bool GenerateSequence::ReleaseText(TokenEvent* event) {
  const absl::string_view bytes = tokenizer_->TokenBytes(sampled_token_);
  StopMatcher::Result match;
  if (usage().generated_tokens <= min_tokens_) {
    match.released = std::string(bytes);  // nothing is withheld yet
  } else {
    match = stop_matcher_.Append(bytes);
  }
  stop_string_ = match.hit;
  bytes_ = std::move(match.released);
  text_ = utf8_stream_.Append(bytes_);
  // After a stop string no bytes follow that could complete a character.
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
  Snapshot snapshot = TakeSnapshot();
  const bool ends_text = event.reason == FinishReason::kLength ||
                         event.reason == FinishReason::kStopString;
  if (ends_text && max_tokens_ > 0) {
    // The last token is part of the output, but was not processed. Other tokens
    // that end the output are not part of it.
    snapshot.tokens.push_back(sampled_token_);
    snapshot.num_pending = 1;
    snapshot.logits.clear();
  }
  snapshot.is_resumable =
      is_suspended() || event.reason == FinishReason::kLength;
  if (!snapshot.is_resumable) {
    snapshot.prompt_tokens = snapshot.generated_tokens = 0;
    return ShareSnapshot(std::move(snapshot), TakeMemory());
  }
  snapshot.seed = seed_;
  snapshot.sampler = sampler_.progress();
  if (is_suspended()) {
    snapshot.withheld_bytes = stop_matcher_.withheld();
    snapshot.unfinished_text = utf8_stream_.pending();
  }
  return ShareSnapshot(std::move(snapshot), TakeMemory());
}

}  // namespace rwkvd
