// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SINK_H_
#define RWKVD_CORE_ENGINE_SINK_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/model/state.h"
#include "core/sampling/logits.h"

namespace rwkvd {

struct Snapshot;  // core/engine/snapshot.h

// One token drawn, and the bytes that may now be shown.
struct TokenEvent {
  int32_t id = 0;
  // Bytes of the answer released by this token: none while they may still be
  // the beginning of a stop string. Their concatenation is the answer.
  absl::string_view bytes;
  // The same as always-valid UTF-8; a split character waits until it is whole.
  absl::string_view text;
  double logprob = 0;                  // if want_logprobs
  absl::Span<const TokenLogprob> top;  // likeliest first; top_logprobs
  // The same after all samplers.
  std::optional<double> sampled_logprob;  // if want_sampled_logprobs
  absl::Span<const TokenLogprob> top_sampled;
};

// Consecutive tokens of the prompt, as they are read.
struct PromptEvent {
  struct Token {
    int32_t id = 0;
    // Nothing for the first token, which nothing has predicted.
    std::optional<double> logprob;
    std::vector<TokenLogprob> top;  // likeliest first
  };
  absl::Span<const Token> tokens;
};

// One continuation scored.
struct ScoreEvent {
  int64_t item = 0;                       // index in the request
  int64_t continuation = 0;               // index in the item
  absl::Span<const TokenLogprob> tokens;  // in order
  absl::Span<const bool> is_greedy;       // is the likeliest at its place
  double logprob_sum = 0;                 // added up in order
  // After all its tokens but the last, if no other text goes on from there.
  const State* state = nullptr;
};

enum class FinishReason {
  kStopString,
  kStopToken,
  kEndOfText,
  kLength,
  kCancelled,  // by the client, its deadline, or the server's draining
  kScored,     // a score request ran to its end
  kRefused,    // it never ran: the status says why
};

inline constexpr int kNumFinishReasons = 7;

// "stop_string", ...: the values of metric labels.
absl::string_view NameOf(FinishReason reason);

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;     // of these, taken from the state cache
  int64_t generated_tokens = 0;  // drawn; for a score, tokens scored
};

struct Times {
  absl::Duration queue;    // received -> joined the running sequences
  absl::Duration prefill;  // joined -> prompt read
  absl::Duration decode;   // prompt read -> end
  absl::Duration first_token = absl::InfiniteDuration();  // received -> drawn
};

struct FinishEvent {
  FinishReason reason = FinishReason::kCancelled;
  // OK, or why the sequence was ended: Cancelled, Unavailable on draining; if
  // it was refused, ResourceExhausted after max_queue_time, or DeadlineExceeded
  // where it cannot meet its deadline.
  absl::Status status;
  // Bytes and text held back until now. Empty text and bytes after a stop
  // string: what was held back was the stop string itself.
  absl::string_view bytes;
  absl::string_view text;
  absl::string_view stop_string;  // the one that hit, with kStopString
  Usage usage;
  Times times;
  // What was asked for, to go on from; else null. Where a request was cut short
  // for it, bytes and text stay held back: they are in it.
  std::shared_ptr<const Snapshot> snapshot;
};

// Where the results of a generate request go.
//
// Only the engine's thread calls a sink, so its methods must not block and must
// not call back into the engine. Views in events are valid during the call
// only. OnFinish is the last call and comes exactly once; after it the engine
// does not use the sink again.
class GenerateSink {
 public:
  virtual ~GenerateSink() = default;
  // Before any OnToken, and only if the request has `echo`.
  virtual void OnPrompt(const PromptEvent& event) = 0;
  virtual void OnToken(const TokenEvent& event) = 0;
  virtual void OnFinish(const FinishEvent& event) = 0;
};

// Where the results of a score request go; the rules of GenerateSink apply.
class ScoreSink {
 public:
  virtual ~ScoreSink() = default;
  virtual void OnScore(const ScoreEvent& event) = 0;
  virtual void OnFinish(const FinishEvent& event) = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SINK_H_
