// SPDX-License-Identifier: Apache-2.0
#include "core/engine/validate.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/engine/named_state.h"
#include "core/engine/snapshot.h"
#include "core/engine/stop_matcher.h"

namespace rwkvd {
namespace {

absl::Status CheckRange(absl::string_view field, int64_t value, int64_t lowest,
                        int64_t highest) {
  if (value >= lowest && value <= highest) return absl::OkStatus();
  return FieldError(
      field, absl::StrCat(value, " is not in [", lowest, ", ", highest, "]"));
}

// `size` is the number of `what` in `field`.
absl::Status CheckSize(absl::string_view field, absl::string_view what,
                       int64_t size, int64_t lowest, int64_t highest) {
  if (size >= lowest && size <= highest) return absl::OkStatus();
  return FieldError(field, absl::StrCat("has ", size, " ", what, ", must have ",
                                        lowest, " to ", highest));
}

// `note`: what else counts, such as " together with its state".
absl::Status CheckTokens(absl::string_view field, int64_t num_tokens,
                         int64_t lowest, int64_t highest,
                         absl::string_view note = "") {
  if (num_tokens >= lowest && num_tokens <= highest) return absl::OkStatus();
  const std::string problem =
      absl::StrCat("has ", num_tokens, " tokens", note, ", must have ", lowest,
                   " to ", highest);
  if (num_tokens < lowest) return FieldError(field, problem);
  return WithMetadata(FieldError(ErrorReason::kTooManyTokens, field, problem),
                      "limit", absl::StrCat(highest));
}

absl::Status CheckIds(absl::string_view field, absl::Span<const int32_t> ids,
                      int64_t vocab_size) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocab_size) {
      return FieldError(
          absl::StrCat(field, "[", i, "]"),
          absl::StrCat("token ", ids[i], " is not in [0, ", vocab_size, ")"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckStops(const GenerateRequest& request, int64_t vocab_size) {
  const auto num_stops = static_cast<int64_t>(request.stop_strings.size());
  RWKVD_RETURN_IF_ERROR(CheckSize("stop_strings", "strings",
                                  num_stops - request.num_added_stops, 0,
                                  kMaxStopStrings));
  for (size_t i = 0; i < request.stop_strings.size(); ++i) {
    RWKVD_RETURN_IF_ERROR(CheckSize(absl::StrCat("stop_strings[", i, "]"),
                                    "bytes", request.stop_strings[i].size(), 1,
                                    kMaxStopStringBytes));
  }
  RWKVD_RETURN_IF_ERROR(CheckSize(
      "stop_tokens", "tokens", request.stop_tokens.size(), 0, kMaxStopTokens));
  return CheckIds("stop_tokens", request.stop_tokens, vocab_size);
}

// `name` is the item's, as in "items[0]".
absl::Status CheckItem(absl::string_view name, const ScoreItem& item,
                       const EngineOptions& options, int64_t vocab_size) {
  const std::string context = absl::StrCat(name, ".context");
  const auto context_size = static_cast<int64_t>(item.context.size());
  // One token less, so that there is one left to score.
  RWKVD_RETURN_IF_ERROR(
      CheckTokens(context, context_size, 0, options.max_prompt_tokens - 1));
  RWKVD_RETURN_IF_ERROR(CheckIds(context, item.context, vocab_size));
  const std::string continuations = absl::StrCat(name, ".continuations");
  RWKVD_RETURN_IF_ERROR(CheckSize(continuations, "entries",
                                  item.continuations.size(), 1,
                                  kMaxContinuations));
  for (size_t i = 0; i < item.continuations.size(); ++i) {
    const std::vector<int32_t>& tokens = item.continuations[i];
    const std::string field = absl::StrCat(continuations, "[", i, "]");
    RWKVD_RETURN_IF_ERROR(
        CheckTokens(field, static_cast<int64_t>(tokens.size()), 1,
                    options.max_prompt_tokens - context_size));
    RWKVD_RETURN_IF_ERROR(CheckIds(field, tokens, vocab_size));
  }
  return absl::OkStatus();
}

absl::Status CheckPin(const PinRequest& pin, const EngineOptions& options) {
  if (!IsStateName(pin.name)) {
    return FieldError(
        "pin.name", absl::StrCat(Quoted(pin.name), " is not ", kStateNameRule));
  }
  if (options.state_cache_bytes > 0) return absl::OkStatus();
  return FieldError(ErrorReason::kStateCacheDisabled, "pin",
                    "this server has no state cache");
}

absl::Status CheckResume(const GenerateRequest& request) {
  const Snapshot& start = *request.start;
  if (!request.prompt.empty()) {
    return FieldError(ErrorReason::kFieldsConflict, "prompt",
                      "must be empty if the request is resumed");
  }
  if (!start.is_resumable) {
    return FieldError(
        ErrorReason::kStateNotResumable, "resume",
        "the request of this state has ended; a new request can continue from "
        "it without resume");
  }
  if (start.generated_tokens >= request.max_tokens && request.max_tokens > 0) {
    return FieldError(
        "max_tokens",
        absl::StrCat(request.max_tokens, " is not more than the ",
                     start.generated_tokens, " tokens generated before"));
  }
  StopMatcher stops(request.stop_strings);
  const StopMatcher::Result withheld = stops.Append(start.withheld_bytes);
  if (withheld.released.empty() && !withheld.hit.has_value()) {
    return absl::OkStatus();
  }
  return FieldError(ErrorReason::kStateNotResumable, "stop_strings",
                    "differ from those of the resumed request");
}

}  // namespace

int64_t MaxSnapshotTokens(const EngineOptions& options) {
  return options.max_prompt_tokens + options.max_generated_tokens;
}

absl::Status ValidateSamples(absl::string_view field, int64_t n,
                             const EngineOptions& options) {
  return CheckRange(field, n, 1,
                    std::min<int64_t>(kMaxSamples, options.max_running));
}

absl::Status Validate(const GenerateRequest& request,
                      const EngineOptions& options, int64_t vocab_size) {
  RWKVD_RETURN_IF_ERROR(CheckTokens("prompt",
                                    static_cast<int64_t>(request.prompt.size()),
                                    0, options.max_prompt_tokens));
  RWKVD_RETURN_IF_ERROR(CheckIds("prompt", request.prompt, vocab_size));
  RWKVD_RETURN_IF_ERROR(CheckRange("max_tokens", request.max_tokens, 0,
                                   options.max_generated_tokens));
  RWKVD_RETURN_IF_ERROR(Validate(request.sampling));
  RWKVD_RETURN_IF_ERROR(CheckRange("sampling.min_tokens",
                                   request.sampling.min_tokens, 0,
                                   request.max_tokens));
  RWKVD_RETURN_IF_ERROR(CheckStops(request, vocab_size));
  if (request.pin.has_value()) {
    RWKVD_RETURN_IF_ERROR(CheckPin(*request.pin, options));
  }
  RWKVD_RETURN_IF_ERROR(CheckRange("top_logprobs", request.top_logprobs, 0,
                                   options.max_top_logprobs));
  RWKVD_RETURN_IF_ERROR(CheckRange("echo_top_logprobs",
                                   request.echo_top_logprobs, 0,
                                   options.max_top_logprobs));
  return CheckRange("top_sampled_logprobs", request.top_sampled_logprobs, 0,
                    options.max_top_logprobs);
}

absl::Status ValidateStart(const GenerateRequest& request,
                           const EngineOptions& options) {
  if (request.start == nullptr) {
    return request.resume ? FieldError(ErrorReason::kFieldsConflict, "resume",
                                       "there is no state to resume from")
                          : absl::OkStatus();
  }
  const Snapshot& start = *request.start;
  if (request.pin.has_value()) {
    return FieldError(ErrorReason::kFieldsConflict, "pin",
                      "a prompt that continues from a state cannot be pinned");
  }
  RWKVD_RETURN_IF_ERROR(CheckTokens(
      "prompt",
      static_cast<int64_t>(request.prompt.size() + start.tokens.size()), 0,
      MaxSnapshotTokens(options), " together with its state"));
  if (request.resume) return CheckResume(request);
  const bool can_continue =
      !request.prompt.empty() || start.num_pending > 0 || !start.logits.empty();
  if (can_continue) return absl::OkStatus();
  return FieldError("prompt",
                    "must not be empty, because the state has no prediction");
}

absl::Status Validate(const ScoreRequest& request, const EngineOptions& options,
                      int64_t vocab_size) {
  RWKVD_RETURN_IF_ERROR(
      CheckSize("items", "entries", request.items.size(), 1, kMaxScoreItems));
  int64_t num_texts = 0;
  for (size_t i = 0; i < request.items.size(); ++i) {
    RWKVD_RETURN_IF_ERROR(CheckItem(absl::StrCat("items[", i, "]"),
                                    request.items[i], options, vocab_size));
    num_texts += request.items[i].continuations.size();
  }
  RWKVD_RETURN_IF_ERROR(
      CheckSize("items", "continuations", num_texts, 1, kMaxScoreTexts));
  return CheckTokens(
      "items", TokensOf(request), 1,
      std::min(options.max_score_tokens, MaxRequestTokens(options)),
      " in all contexts and continuations");
}

int64_t MaxRequestTokens(const EngineOptions& options) {
  return std::max(options.max_total_tokens / 2,
                  options.max_prompt_tokens + options.max_generated_tokens);
}

int64_t TokensOf(const GenerateRequest& request) {
  const size_t before =
      request.start == nullptr ? 0 : request.start->tokens.size();
  return static_cast<int64_t>(before + request.prompt.size()) +
         request.max_tokens;
}

int64_t TokensOf(const ScoreRequest& request) {
  size_t tokens = 0;
  for (const ScoreItem& item : request.items) {
    tokens += item.context.size();
    for (const auto& continuation : item.continuations) {
      tokens += continuation.size();
    }
  }
  return static_cast<int64_t>(tokens);
}

}  // namespace rwkvd
