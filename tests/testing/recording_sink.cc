// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/recording_sink.h"

#include <iterator>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"

namespace rwkvd {
namespace {

std::vector<std::pair<int32_t, double>> PairsOf(
    absl::Span<const TokenLogprob> tokens) {
  std::vector<std::pair<int32_t, double>> pairs;
  for (const TokenLogprob& token : tokens) {
    pairs.emplace_back(token.id, token.logprob);
  }
  return pairs;
}

}  // namespace

std::vector<int32_t> Recording::Ids() const {
  std::vector<int32_t> ids;
  for (const Token& token : tokens) ids.push_back(token.id);
  return ids;
}

double Recording::LogprobSum() const {
  double sum = 0;
  for (const Token& token : tokens) sum += token.logprob;
  return sum;
}

bool Recording::HasSameAnswer(const Recording& other) const {
  const auto answer = [](const Recording& r) {
    return std::tie(r.prompt, r.tokens, r.scores, r.last_bytes, r.last_text,
                    r.reason, r.status, r.stop_string, r.usage.prompt_tokens,
                    r.usage.generated_tokens, r.num_finishes);
  };
  return answer(*this) == answer(other);
}

void RecordingSink::OnPrompt(const PromptEvent& event) {
  absl::MutexLock lock(&mutex_);
  RWKVD_CHECK(recording_.num_finishes == 0 && recording_.tokens.empty());
  for (const PromptEvent::Token& token : event.tokens) {
    recording_.prompt.push_back({token.id, token.logprob, PairsOf(token.top)});
  }
}

void RecordingSink::OnToken(const TokenEvent& event) {
  absl::MutexLock lock(&mutex_);
  RWKVD_CHECK(recording_.num_finishes == 0);
  recording_.tokens.push_back({event.id, event.logprob, PairsOf(event.top),
                               std::string(event.bytes),
                               std::string(event.text), event.sampled_logprob,
                               PairsOf(event.top_sampled)});
  absl::StrAppend(&recording_.bytes, event.bytes);
  absl::StrAppend(&recording_.text, event.text);
}

void RecordingSink::OnScore(const ScoreEvent& event) {
  absl::MutexLock lock(&mutex_);
  RWKVD_CHECK(recording_.num_finishes == 0);
  auto position = recording_.scores.end();
  const auto is_after = [&event](const Recording::Score& score) {
    return std::pair(score.item, score.continuation) >
           std::pair(event.item, event.continuation);
  };
  while (position != recording_.scores.begin() &&
         is_after(*std::prev(position))) {
    --position;
  }
  Recording::Score& score = *recording_.scores.emplace(position);
  score.item = event.item;
  score.continuation = event.continuation;
  score.tokens = PairsOf(event.tokens);
  score.is_greedy.assign(event.is_greedy.begin(), event.is_greedy.end());
  score.logprob_sum = event.logprob_sum;
}

void RecordingSink::OnFinish(const FinishEvent& event) {
  absl::MutexLock lock(&mutex_);
  RWKVD_CHECK(++recording_.num_finishes == 1);
  recording_.reason = event.reason;
  recording_.status = event.status;
  recording_.stop_string = std::string(event.stop_string);
  recording_.usage = event.usage;
  recording_.times = event.times;
  recording_.snapshot = event.snapshot;
  recording_.last_bytes = std::string(event.bytes);
  recording_.last_text = std::string(event.text);
  absl::StrAppend(&recording_.bytes, event.bytes);
  absl::StrAppend(&recording_.text, event.text);
}

void RecordingSink::WaitForTokens(int64_t n) {
  const auto has_tokens = [&] {
    return static_cast<int64_t>(recording_.tokens.size()) >= n;
  };
  absl::MutexLock lock(&mutex_, absl::Condition(&has_tokens));
}

Recording RecordingSink::Wait() {
  const auto is_finished = [&] { return recording_.num_finishes > 0; };
  absl::MutexLock lock(&mutex_, absl::Condition(&is_finished));
  return recording_;
}

void RecordingSink::Forget() {
  absl::MutexLock lock(&mutex_);
  recording_.snapshot = nullptr;
}

Recording RecordingSink::Peek() const {
  absl::MutexLock lock(&mutex_);
  return recording_;
}

}  // namespace rwkvd
