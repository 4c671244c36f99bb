// SPDX-License-Identifier: Apache-2.0
#include "core/engine/scoring.h"

#include <algorithm>
#include <utility>

#include "core/sampling/logits.h"

namespace rwkvd {
namespace {

// Continuations read in one step. Each takes a state while it is read; a
// hundred of the largest models' would be gigabytes.
constexpr size_t kMaxLanes = 16;

}  // namespace

Scoring::Scoring(Id id, ScoreRequest request, TokenSink* sink,
                 EngineCounters* counters)
    : Sequence(id, std::move(request.context), request.initial_state,
               request.use_state_cache, request.received, sink, counters),
      continuations_(std::move(request.continuations)) {
  EndBy(request.deadline);
}

int64_t Scoring::TokensNeeded() const {
  size_t tokens = prompt().size();
  for (size_t i = 0; i < continuations_.size(); ++i) tokens += TokensToRead(i);
  return static_cast<int64_t>(tokens);
}

size_t Scoring::TokensToRead(size_t continuation) const {
  return continuations_[continuation].size() - 1;
}

Demand Scoring::Next() const {
  if (first_.empty()) return Sequence::Next();
  size_t tokens = 0;
  for (const Lane& lane : lanes_) {
    tokens += TokensToRead(lane.continuation) - lane.read;
  }
  size_t num_lanes = lanes_.size();
  for (size_t i = next_lane_;
       i < continuations_.size() && num_lanes < kMaxLanes; ++i) {
    tokens += TokensToRead(i);
    if (TokensToRead(i) > 0) ++num_lanes;
  }
  return {.tokens = static_cast<int64_t>(tokens), .all_logits = true};
}

void Scoring::Plan(int64_t num_tokens, LogitsBuffer* buffer,
                   std::vector<Chunk>* chunks) {
  if (first_.empty()) return Sequence::Plan(num_tokens, buffer, chunks);
  DropLogits();
  size_t left = num_tokens;
  for (size_t i = 0; left > 0; ++i) {
    if (i == lanes_.size()) OpenLane();
    Lane& lane = lanes_[i];
    const size_t n =
        std::min(left, TokensToRead(lane.continuation) - lane.read);
    PlanLane(&lane, n, buffer, chunks);
    left -= n;
  }
}

void Scoring::OpenLane() {
  while (TokensToRead(next_lane_) == 0) ++next_lane_;
  Lane& lane = lanes_.emplace_back();
  lane.continuation = next_lane_++;
  if (!spare_states_.empty()) {
    lane.state = std::move(spare_states_.back());
    spare_states_.pop_back();
  }
  lane.state = state();
  lane.tokens.resize(continuations_[lane.continuation].size());
  lane.is_greedy.resize(lane.tokens.size());
  lane.tokens[0] = first_[lane.continuation].token;
  lane.is_greedy[0] = first_[lane.continuation].is_greedy;
}

void Scoring::PlanLane(Lane* lane, size_t num_tokens, LogitsBuffer* buffer,
                       std::vector<Chunk>* chunks) {
  Chunk chunk;
  chunk.tokens = absl::MakeConstSpan(continuations_[lane->continuation])
                     .subspan(lane->read, num_tokens);
  chunk.state = &lane->state;
  chunk.wanted = LogitsWanted::kAll;
  chunk.logits = buffer->Take(num_tokens);
  for (size_t i = 0; i < num_tokens; ++i) {
    rows_.push_back(
        {chunk.logits.subspan(i * buffer->vocab_size(), buffer->vocab_size()),
         lane, ++lane->read});
  }
  chunks->push_back(chunk);
}

int64_t Scoring::NumDigests() const {
  return first_.empty() ? Sequence::NumDigests() : rows_.size();
}

void Scoring::Digest(int64_t piece) {
  if (first_.empty()) return ScoreFirstTokens();
  const auto& [logits, lane, position] = rows_[piece];
  const LogSoftmax log_softmax = ComputeLogSoftmax(logits);
  const int32_t id = continuations_[lane->continuation][position];
  lane->tokens[position] = {id, LogProbability(logits, log_softmax, id)};
  lane->is_greedy[position] = id == log_softmax.greedy_id;
}

void Scoring::ScoreFirstTokens() {
  const LogSoftmax log_softmax = ComputeLogSoftmax(logits());
  for (const std::vector<int32_t>& continuation : continuations_) {
    const int32_t id = continuation[0];
    first_.push_back({{id, LogProbability(logits(), log_softmax, id)},
                      id == log_softmax.greedy_id});
  }
}

std::optional<FinishReason> Scoring::Deliver(absl::Time) {
  rows_.clear();
  while (DeliverNext()) {
  }
  if (next_told_ < continuations_.size()) return std::nullopt;
  return FinishReason::kScored;
}

bool Scoring::DeliverNext() {
  if (first_.empty() || next_told_ == continuations_.size()) return false;
  if (TokensToRead(next_told_) == 0) {
    const Scored& scored = first_[next_told_];
    Tell(next_told_, absl::MakeConstSpan(&scored.token, 1),
         absl::MakeConstSpan(&scored.is_greedy, 1));
    ++next_told_;
    return true;
  }
  if (lanes_.empty() || lanes_.front().read < TokensToRead(next_told_)) {
    return false;
  }
  // Lanes are in order, so the first is the next one's.
  Lane& lane = lanes_.front();
  Tell(next_told_, lane.tokens, lane.is_greedy);
  spare_states_.push_back(std::move(lane.state));
  lanes_.pop_front();
  ++next_told_;
  return true;
}

void Scoring::Tell(size_t continuation, absl::Span<const TokenLogprob> tokens,
                   absl::Span<const bool> is_greedy) {
  ScoreEvent event;
  event.continuation = static_cast<int64_t>(continuation);
  event.tokens = tokens;
  event.is_greedy = is_greedy;
  for (const TokenLogprob& token : tokens) event.logprob_sum += token.logprob;
  usage().generated_tokens += static_cast<int64_t>(tokens.size());
  counters().scored_tokens.Add(static_cast<int64_t>(tokens.size()));
  sink().OnScore(event);
}

}  // namespace rwkvd
