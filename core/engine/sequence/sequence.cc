// SPDX-License-Identifier: Apache-2.0
#include "core/engine/sequence/sequence.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace rwkvd {
namespace {

constexpr int32_t kStartToken = 0;

std::vector<int32_t> Appended(std::vector<int32_t> tokens,
                              absl::Span<const int32_t> more) {
  tokens.insert(tokens.end(), more.begin(), more.end());
  return tokens;
}

size_t TokensRead(const Snapshot* snapshot) {
  return snapshot == nullptr ? 0
                             : snapshot->tokens.size() - snapshot->num_pending;
}

// Never negative, though a clock may be set back.
absl::Duration Between(absl::Time begin, absl::Time end) {
  return std::max(end - begin, absl::ZeroDuration());
}

}  // namespace

std::vector<int32_t> OrStartToken(std::vector<int32_t> tokens) {
  if (tokens.empty()) tokens.push_back(kStartToken);
  return tokens;
}

Sequence::Sequence(Id id, std::vector<int32_t> prompt, EmptyPrompt empty_prompt,
                   int32_t initial_state, bool use_state_cache,
                   absl::Time received, EngineCounters* counters,
                   std::shared_ptr<const Snapshot> snapshot)
    : id_(id),
      tokens_(snapshot != nullptr ? Appended(snapshot->tokens, prompt)
              : empty_prompt == EmptyPrompt::kStartToken ? OrStartToken(prompt)
                                                         : prompt),
      prompt_size_(tokens_.size()),
      initial_state_(initial_state),
      use_state_cache_(use_state_cache && snapshot == nullptr),
      received_(received),
      counters_(counters),
      snapshot_(std::move(snapshot)),
      read_(TokensRead(snapshot_.get())) {
  usage_.prompt_tokens = static_cast<int64_t>(prompt.size());
}

void Sequence::Join(State start, absl::Time now) {
  state_ = std::move(start);
  joined_at_ = now;
  counters_->queue_seconds.Observe(PositiveSeconds(now - received_));
}

void Sequence::JoinFromSnapshot(absl::Time now) {
  Join(snapshot_->state, now);
  if (prompt_is_read()) logits_ = snapshot_->logits;
}

void Sequence::Join(std::shared_ptr<const KnownPrefix> known, absl::Time now) {
  Join(State(), now);
  Adopt(std::move(known));
}

void Sequence::Adopt(std::shared_ptr<const KnownPrefix> known) {
  state_ = known->state;
  read_ = static_cast<size_t>(known->num_tokens);
  RWKVD_CHECK(read_ <= prompt_size_);
  // An empty prompt has nothing that could be known.
  usage_.cached_tokens =
      std::min(static_cast<int64_t>(read_), usage_.prompt_tokens);
  counters_->cached_tokens.Add(usage_.cached_tokens);
  if (prompt_is_read()) logits_ = known->logits;
  known_ = std::move(known);
}

void Sequence::TakeOver(const Sequence& reader) {
  state_ = reader.state_;
  read_ = reader.read_;
  save_points_ = reader.save_points_;
  usage_.cached_tokens = reader.usage_.cached_tokens;
}

bool Sequence::Waits() const {
  return shared_prompt_ != nullptr && shared_prompt_->known == nullptr &&
         shared_prompt_->reader != this;
}

StepDemand Sequence::Next() const {
  if (Waits()) return {};
  const auto read = static_cast<int64_t>(read_);
  auto end = static_cast<int64_t>(tokens_.size());
  const auto save_point =
      std::upper_bound(save_points_.begin(), save_points_.end(), read);
  if (save_point != save_points_.end()) end = *save_point;
  return {.tokens = end - read, .decoding = prompt_is_read()};
}

bool Sequence::AtSavePoint() const {
  return std::binary_search(save_points_.begin(), save_points_.end(),
                            static_cast<int64_t>(read_));
}

void Sequence::Plan(int64_t num_tokens, LogitsBuffer* buffer,
                    std::vector<Chunk>* chunks) {
  Read(num_tokens, /*all_logits=*/false, buffer, chunks);
}

absl::Span<const float> Sequence::Read(int64_t num_tokens, bool all_logits,
                                       LogitsBuffer* buffer,
                                       std::vector<Chunk>* chunks) {
  if (num_tokens == 0) return {};
  if (!prompt_is_read()) counters_->prompt_tokens.Add(num_tokens);
  Chunk chunk;
  chunk.tokens = absl::MakeConstSpan(tokens_).subspan(read_, num_tokens);
  chunk.state = &state_;
  read_ += num_tokens;
  if (all_logits) {
    chunk.wanted = LogitsWanted::kAll;
    chunk.logits = buffer->Take(num_tokens);
  } else if (read_ == tokens_.size()) {
    chunk.wanted = LogitsWanted::kLast;
    chunk.logits = buffer->Take(1);
  }
  DropLogits();
  const absl::Span<const float> logits = chunk.logits;
  if (read_ == tokens_.size()) {
    logits_ = logits.last(buffer->vocab_size());
  }
  chunks->push_back(chunk);
  return logits;
}

Snapshot Sequence::TakeSnapshot() {
  Snapshot snapshot;
  snapshot.state = std::move(state_);
  snapshot.num_pending = static_cast<int64_t>(tokens_.size() - read_);
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
  known_ = nullptr;
  snapshot_ = nullptr;
}

int64_t Sequence::NumLogitsTasks() const { return logits_.empty() ? 0 : 1; }

bool Sequence::NotePromptRead(absl::Time now) {
  if (!prompt_is_read() || prompt_read_at_.has_value()) return false;
  prompt_read_at_ = now;
  counters_->prefill_seconds.Observe(PositiveSeconds(now - *joined_at_));
  return true;
}

void Sequence::Finish(FinishReason reason, const absl::Status& status,
                      absl::Time now) {
  FinishEvent event;
  event.reason = reason;
  event.status = status;
  event.usage = usage_;
  event.times = TimesAt(now);
  if (prompt_read_at_.has_value()) {
    counters_->decode_seconds.Observe(
        absl::ToDoubleSeconds(event.times.decode));
  }
  counters_->finished[static_cast<int>(reason)].Add(1);
  SendFinish(std::move(event));
}

Times Sequence::TimesAt(absl::Time now) const {
  Times times;
  times.queue = Between(received_, joined_at_.value_or(now));
  if (joined_at_.has_value()) {
    times.prefill = Between(*joined_at_, prompt_read_at_.value_or(now));
  }
  if (prompt_read_at_.has_value()) {
    times.decode = Between(*prompt_read_at_, now);
  }
  if (first_token_at_.has_value()) {
    times.first_token = Between(received_, *first_token_at_);
  }
  return times;
}

}  // namespace rwkvd
