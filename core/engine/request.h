// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_REQUEST_H_
#define RWKVD_CORE_ENGINE_REQUEST_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/model/state.h"
#include "core/sampling/logits.h"
#include "core/sampling/sampling_params.h"

namespace rwkvd {

struct Snapshot;  // core/engine/snapshot.h

// Limits on a request that do not depend on the server.
inline constexpr int64_t kMaxStopStrings = 16;
inline constexpr int64_t kMaxStopStringBytes = 1024;
inline constexpr int64_t kMaxStopTokens = 256;
inline constexpr int64_t kMaxScoreItems = 1024;
inline constexpr int64_t kMaxContinuations = 1024;  // of an item
inline constexpr int64_t kMaxScoreTexts = 4096;     // continuations of all
inline constexpr size_t kMaxPinNameBytes = 64;
inline constexpr int64_t kMaxSamples = 128;  // of one request

// Keeps the state after a prompt in the state cache, under a name. A value.
struct PinRequest {
  std::string name;  // 1 to kMaxPinNameBytes letters, digits, ".", "_" and "-"
  absl::Duration time_to_live = absl::InfiniteDuration();  // > 0
};

// A request to continue a prompt. A value; checked by Engine::Submit.
struct GenerateRequest {
  // May be empty: the sequence then reads the single token 0, since a recurrent
  // network predicts only after reading.
  std::vector<int32_t> prompt;
  // What is remembered before the prompt: an index in Engine::initial_states.
  int32_t initial_state = 0;
  int64_t max_tokens = 0;  // 0 only reads the prompt
  SamplingParams sampling;
  std::vector<std::string> stop_strings;  // bytes, none empty
  std::vector<int32_t> stop_tokens;
  bool want_logprobs = false;  // of the tokens drawn
  int32_t top_logprobs = 0;    // alternatives listed per token
  // The prompt's tokens are told too, each but the first with its
  // log-probability and that many alternatives. All are read then, and none
  // from the state cache.
  bool echo = false;
  int32_t echo_top_logprobs = 0;
  // The same of what each token was drawn from, after all samplers.
  bool want_sampled_logprobs = false;
  int32_t top_sampled_logprobs = 0;
  bool use_state_cache = true;  // look prefixes up, and store them
  std::optional<PinRequest> pin;
  // What to go on from, in place of an initial state; null: from that. Such a
  // request has no part in the state cache.
  std::shared_ptr<const Snapshot> start;
  // Takes up the request that was cut short at `start`: as if it had never
  // been, though other fields may differ. Has no prompt of its own; its seed
  // and its count of tokens drawn go on.
  bool resume = false;
  bool snapshot_at_end = false;  // of its own accord: in FinishEvent
  // Ends when draining begins, with a snapshot from which it can be resumed.
  bool snapshot_on_drain = false;
  absl::Time received;  // start of every time that is reported
  // Refused if it cannot have its first token by then.
  absl::Time deadline = absl::InfiniteFuture();
};

// Texts to score after a context. A value.
struct ScoreItem {
  std::vector<int32_t> context;  // may be empty, as a prompt may
  std::vector<std::vector<int32_t>> continuations;  // at least one, none empty
};

// A request for the log-probabilities of texts. A value.
struct ScoreRequest {
  std::vector<ScoreItem> items = std::vector<ScoreItem>(1);  // at least one
  // Whether fields are called items[0].context rather than context in errors.
  bool is_list = false;
  int32_t initial_state = 0;  // as of a GenerateRequest
  // If set, what it starts from instead; the state cache is then not used.
  std::shared_ptr<const State> start;
  // Goes on with what was taken in before: is not refused for want of a place,
  // of tokens or of time.
  bool continues = false;
  bool use_state_cache = true;
  absl::Time received;
  absl::Time deadline = absl::InfiniteFuture();  // refused if it cannot end so
};

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

// Where the results of one request go: the only door out of the engine.
//
// Called by the engine thread only, so it must not block, and must not call
// back into the engine. Views in events die with the call. OnFinish comes
// exactly once and last; after it the engine has forgotten the sink.
class TokenSink {
 public:
  virtual ~TokenSink() = default;
  // Before any OnToken; only if it was asked for.
  virtual void OnPrompt(const PromptEvent& event) { (void)event; }
  virtual void OnToken(const TokenEvent& event) = 0;
  virtual void OnScore(const ScoreEvent& event) = 0;
  virtual void OnFinish(const FinishEvent& event) = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_REQUEST_H_
