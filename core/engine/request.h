// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_REQUEST_H_
#define RWKVD_CORE_ENGINE_REQUEST_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "core/model/state.h"
#include "core/sampling/params.h"

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
  absl::Duration time_to_live = absl::InfiniteDuration();
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

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_REQUEST_H_
