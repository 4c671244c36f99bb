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

// One sampled token, and the part of the output that it releases.
struct TokenEvent {
  int32_t id = 0;
  // Bytes of the output that this token releases. Bytes that may still be the
  // beginning of a stop string are withheld. The bytes of all events together
  // are the output.
  absl::string_view bytes;
  // The same as valid UTF-8. An incomplete character is withheld.
  absl::string_view text;
  // The model's log-probability of the token if want_logprobs, and the
  // top_logprobs likeliest tokens, likeliest first.
  double logprob = 0;
  absl::Span<const TokenLogprob> top;
  // The same for the distribution after all samplers.
  std::optional<double> sampled_logprob;  // if want_sampled_logprobs
  absl::Span<const TokenLogprob> top_sampled;
};

// Consecutive prompt tokens that have been processed.
struct PromptEvent {
  struct Token {
    int32_t id = 0;
    std::optional<double> logprob;  // none for the prompt's first token
    std::vector<TokenLogprob> top;  // likeliest first
  };
  absl::Span<const Token> tokens;
};

// The scores of one continuation.
struct ScoreEvent {
  int64_t item = 0;                       // index in the request
  int64_t continuation = 0;               // index in the item
  absl::Span<const TokenLogprob> tokens;  // in order
  absl::Span<const bool> is_greedy;  // whether each token is the likeliest one
  double logprob_sum = 0;            // added up in order
  // The state before the continuation's last token. Null if another text
  // branches off there.
  const State* state = nullptr;
};

// Why a request has ended.
enum class FinishReason {
  kStopString,
  kStopToken,
  kEndOfText,
  kLength,     // max_tokens
  kCancelled,  // by the client, its deadline or draining; suspended requests
               // too
  kScored,     // all continuations of a score request are scored
  kRefused,    // it never ran: the status says why
  kFailed,     // the model's predictions are not finite: the status says more
  kModelChanged,  // the model's files have changed: its results may be wrong
};

inline constexpr int kNumFinishReasons = 9;

// Whether a request with this reason has no result, because of an error.
constexpr bool IsFailure(FinishReason reason) {
  return reason == FinishReason::kFailed ||
         reason == FinishReason::kModelChanged;
}

// The value of metric labels, such as "stop_string".
absl::string_view NameOf(FinishReason reason);

// The tokens that a request has used.
struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;     // the prompt tokens that were not processed
  int64_t generated_tokens = 0;  // sampled, or scored by a score request
  // Generated tokens that needed no step of their own: see Speculation.
  int64_t accepted_draft_tokens = 0;
};

// Where the time of a request went.
struct Times {
  absl::Duration queue;    // from receipt to admission
  absl::Duration prefill;  // from admission to the end of prefill
  absl::Duration decode;   // from the end of prefill to the end
  // From receipt to the first sampled token; infinite if there is none.
  absl::Duration first_token = absl::InfiniteDuration();
};

// The end of a request.
struct FinishEvent {
  FinishReason reason = FinishReason::kCancelled;
  // OK, or why the request was ended early. kCancelled: Cancelled, Unavailable
  // (draining), or the error of a pin. kRefused: ResourceExhausted with a
  // RetryAfter (max_queue_time), or DeadlineExceeded. kFailed: Internal, or
  // InvalidArgument if the request started from a saved state. kModelChanged:
  // the error of EngineOptions::check_model.
  absl::Status status;
  Usage usage;
  Times times;

  // Only for generate requests. Bytes and text that were still withheld; the
  // bytes of a stop string are not part of the output. A suspended request has
  // them in its snapshot instead.
  absl::string_view bytes;
  absl::string_view text;
  absl::string_view stop_string;  // the completed one, with kStopString
  // The requested snapshot, or null.
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
