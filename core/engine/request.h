// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_REQUEST_H_
#define RWKVD_CORE_ENGINE_REQUEST_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "core/engine/schedule/flow.h"
#include "core/model/state.h"
#include "core/sampling/params.h"

namespace rwkvd {

struct Snapshot;  // core/engine/snapshot.h

// Limits on a request that no server option changes.
inline constexpr int64_t kMaxStopStrings = 16;
inline constexpr int64_t kMaxStopStringBytes = 1024;
inline constexpr int64_t kMaxStopTokens = 256;
inline constexpr int64_t kMaxScoreItems = 1024;
inline constexpr int64_t kMaxContinuations = 1024;  // per item
inline constexpr int64_t kMaxScoreTexts = 4096;  // continuations of all items
inline constexpr int64_t kMaxSamples = 128;      // of one request

// Pins the state after a prompt in the state cache, under a name. A value.
struct PinRequest {
  std::string name;  // see IsStateName
  absl::Duration time_to_live = absl::InfiniteDuration();
  // The most names in the request's cache_partition, with this one.
  int64_t max_names = std::numeric_limits<int64_t>::max();
};

// A request to continue a prompt. A value; Engine::Submit checks it.
struct GenerateRequest {
  // If empty, the single token 0 is processed instead: a recurrent model
  // predicts only after processing a token.
  std::vector<int32_t> prompt;
  // The state before the prompt: an index into Engine::initial_states.
  int32_t initial_state = 0;
  int64_t max_tokens = 0;  // 0: only prefill the prompt
  SamplingParams sampling;
  // Bytes, none empty. They are not searched in the first sampling.min_tokens
  // tokens.
  std::vector<std::string> stop_strings;
  // How many of these, at the end of the list, the server has added without
  // the client's knowledge. They do not count toward kMaxStopStrings.
  int32_t num_added_stops = 0;
  std::vector<int32_t> stop_tokens;
  // Whether the end of text does not end the output.
  bool ignore_end_of_text = false;
  // Log-probabilities that the model gives to the sampled tokens, and the
  // number of the likeliest tokens to list with each.
  bool want_logprobs = false;
  int32_t top_logprobs = 0;
  // Whether to send the prompt's tokens too, each except the first with its
  // log-probability and echo_top_logprobs of the likeliest tokens. All of them
  // are then processed; the state cache is not used.
  bool echo = false;
  int32_t echo_top_logprobs = 0;
  // The same as want_logprobs and top_logprobs, for the distribution after all
  // samplers.
  bool want_sampled_logprobs = false;
  int32_t top_sampled_logprobs = 0;
  bool use_state_cache = true;  // look up prefixes and store them
  // Whose stored prefixes and pins the request uses: only requests with equal
  // partitions share them. Opaque.
  std::string cache_partition;
  Flow flow;  // among which the engine is fair
  std::optional<PinRequest> pin;
  // A number of tokens of the prompt after which the state is stored, too,
  // because prompts that share only these tokens are expected. 0: none.
  int64_t save_point = 0;
  // The start in place of the initial state, unless null. Such a request does
  // not use the state cache.
  std::shared_ptr<const Snapshot> start;
  // Resumes the suspended request of `start` as if it had never been
  // interrupted, although other fields may differ. The prompt must be empty;
  // the random sequence and the count of generated tokens continue.
  bool resume = false;
  bool snapshot_at_end = false;  // in FinishEvent, unless it is ended early
  // Whether to suspend the request when draining begins, with a snapshot to
  // resume it from.
  bool snapshot_on_drain = false;
  absl::Time received;  // of the engine's clock; all reported times start here
  // The request is refused if it cannot have its first token by then, by the
  // engine's clock.
  absl::Time deadline = absl::InfiniteFuture();
};

// Texts to score after a context. A value.
struct ScoreItem {
  std::vector<int32_t> context;  // may be empty: see GenerateRequest::prompt
  std::vector<std::vector<int32_t>> continuations;  // at least one, none empty
};

// A request for the log-probabilities of texts. A value.
struct ScoreRequest {
  std::vector<ScoreItem> items = std::vector<ScoreItem>(1);  // at least one
  int32_t initial_state = 0;  // see GenerateRequest
  // The start in place of the initial state, unless null. Such a request does
  // not use the state cache.
  std::shared_ptr<const State> start;
  // Whether it continues an accepted request. It is then not refused for lack
  // of slots or tokens, or for its time in the queue.
  bool continues = false;
  bool use_state_cache = true;
  std::string cache_partition;  // see GenerateRequest
  Flow flow;                    // see GenerateRequest
  absl::Time received;
  absl::Time deadline =
      absl::InfiniteFuture();  // refused if it cannot end by then
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_REQUEST_H_
