// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/params.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/field_error.h"
#include "core/base/number_text.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

// `field` without "sampling.".
absl::Status Refuse(absl::string_view field, absl::string_view problem) {
  return FieldError(absl::StrCat("sampling.", field), problem);
}

// `hint`: what to do instead, such as "; 0 keeps all".
absl::Status OutOfRange(absl::string_view field, float value,
                        absl::string_view range, absl::string_view hint = "") {
  return Refuse(field,
                absl::StrCat(NumberText(value), " is not in ", range, hint));
}

// Refuses NaN, because every comparison with NaN is false.
absl::Status CheckWithin(absl::string_view field, float value, float lowest,
                         float highest) {
  if (value >= lowest && value <= highest) return absl::OkStatus();
  return OutOfRange(
      field, value,
      absl::StrCat("[", NumberText(lowest), ", ", NumberText(highest), "]"));
}

// `hint_for_bound`: added to the error of a value that equals `bound`.
absl::Status CheckAbove(absl::string_view field, float value, float bound,
                        float highest, absl::string_view hint_for_bound = "") {
  if (value > bound && value <= highest) return absl::OkStatus();
  return OutOfRange(
      field, value,
      absl::StrCat("(", NumberText(bound), ", ", NumberText(highest), "]"),
      value == bound ? hint_for_bound : "");
}

absl::Status CheckInteger(absl::string_view field, int64_t value,
                          int64_t lowest, int64_t highest) {
  if (value >= lowest && value <= highest) return absl::OkStatus();
  return Refuse(
      field, absl::StrCat(value, " is not in [", lowest, ", ", highest, "]"));
}

absl::Status CheckEntries(absl::string_view field, size_t number) {
  if (number <= static_cast<size_t>(kMaxTokenChoices)) return absl::OkStatus();
  return Refuse(field, absl::StrCat("has ", number, " entries, must have 0 to ",
                                    kMaxTokenChoices));
}

absl::Status CheckTruncation(const SamplingParams& params) {
  if (params.top_k < 0) {
    return Refuse("top_k", absl::StrCat(params.top_k,
                                        " is not in [0, 2147483647]; 0 keeps "
                                        "all tokens"));
  }
  RWKVD_RETURN_IF_ERROR(CheckAbove(
      "top_p", params.top_p, 0, 1,
      "; for the most likely token, use temperature 0; 1 keeps all tokens"));
  RWKVD_RETURN_IF_ERROR(CheckAbove("tail_free_z", params.tail_free_z, 0, 1,
                                   "; 1 keeps all tokens"));
  RWKVD_RETURN_IF_ERROR(
      CheckAbove("typical_p", params.typical_p, 0, 1, "; 1 keeps all tokens"));
  return CheckWithin("min_p", params.min_p, 0, 1);
}

absl::Status CheckPenalties(const SamplingParams& params) {
  RWKVD_RETURN_IF_ERROR(
      CheckWithin("presence_penalty", params.presence_penalty, -100, 100));
  RWKVD_RETURN_IF_ERROR(
      CheckWithin("frequency_penalty", params.frequency_penalty, -100, 100));
  RWKVD_RETURN_IF_ERROR(
      CheckWithin("penalty_decay", params.penalty_decay, 0, 1));
  RWKVD_RETURN_IF_ERROR(
      CheckWithin("repetition_penalty", params.repetition_penalty, 0.01f, 100));
  RWKVD_RETURN_IF_ERROR(CheckInteger(
      "repetition_window", params.repetition_window, 0, kMaxPenaltyWindow));
  return CheckInteger("penalty_window", params.penalty_window, 0,
                      kMaxPenaltyWindow);
}

absl::Status CheckSequences(const SequenceRepetition& sequences) {
  const auto name = [](absl::string_view field) {
    return absl::StrCat("sequence_repetition.", field);
  };
  RWKVD_RETURN_IF_ERROR(
      CheckWithin(name("flat_penalty"), sequences.flat_penalty, -100, 100));
  RWKVD_RETURN_IF_ERROR(CheckWithin(name("stacking_penalty"),
                                    sequences.stacking_penalty, -100, 100));
  RWKVD_RETURN_IF_ERROR(CheckInteger(name("min_length"), sequences.min_length,
                                     1, kMaxSequenceWindow));
  RWKVD_RETURN_IF_ERROR(
      CheckInteger(name("window"), sequences.window, 2, kMaxSequenceWindow));
  RWKVD_RETURN_IF_ERROR(CheckInteger(name("tolerance"), sequences.tolerance, 0,
                                     kMaxSequenceTolerance));
  return CheckInteger(name("max_merge"), sequences.max_merge, 1,
                      kMaxSequenceMerge);
}

// Also refuses the truncation samplers, which Mirostat replaces, and
// temperature 0, which leaves nothing to choose from.
absl::Status CheckMirostat(const SamplingParams& params) {
  const MirostatParams& mirostat = params.mirostat;
  if (mirostat.version == 0) return absl::OkStatus();
  RWKVD_RETURN_IF_ERROR(
      CheckInteger("mirostat.version", mirostat.version, 1, 2));
  RWKVD_RETURN_IF_ERROR(CheckAbove("mirostat.tau", mirostat.tau, 0, 100));
  RWKVD_RETURN_IF_ERROR(CheckAbove("mirostat.eta", mirostat.eta, 0, 10));
  std::string others;
  const auto add = [&](bool is_on, absl::string_view field) {
    if (is_on) absl::StrAppend(&others, " sampling.", field);
  };
  add(params.top_k != 0, "top_k");
  add(params.top_p != 1, "top_p");
  add(params.tail_free_z != 1, "tail_free_z");
  add(params.typical_p != 1, "typical_p");
  add(params.min_p != 0, "min_p");
  add(params.temperature == 0, "temperature=0");
  if (others.empty()) return absl::OkStatus();
  return FieldError(
      ErrorReason::kFieldsConflict, "sampling.mirostat",
      absl::StrCat("selects the candidates itself and cannot be combined with:",
                   others));
}

absl::Status CheckBiases(absl::Span<const LogitBias> biases) {
  RWKVD_RETURN_IF_ERROR(CheckEntries("logit_bias", biases.size()));
  for (size_t i = 0; i < biases.size(); ++i) {
    RWKVD_RETURN_IF_ERROR(CheckWithin(absl::StrCat("logit_bias[", i, "].bias"),
                                      biases[i].bias, -100, 100));
  }
  return absl::OkStatus();
}

absl::Status CheckIds(absl::string_view field, absl::Span<const int32_t> ids,
                      int64_t num_ids) {
  RWKVD_RETURN_IF_ERROR(CheckEntries(field, ids.size()));
  for (size_t i = 0; i < ids.size(); ++i) {
    RWKVD_RETURN_IF_ERROR(
        CheckInteger(absl::StrCat(field, "[", i, "]"), ids[i], 0, num_ids - 1));
  }
  return absl::OkStatus();
}

// Whether each id of the vocabulary can be sampled.
std::vector<bool> CanBeSampled(const SamplingParams& params,
                               const SamplingVocabulary& vocabulary) {
  std::vector<bool> allowed(vocabulary.num_ids, params.allowed_tokens.empty());
  for (const int32_t id : params.allowed_tokens) allowed[id] = true;
  for (const int32_t id : params.banned_tokens) allowed[id] = false;
  if (vocabulary.unused_ids != nullptr) {
    for (const int32_t id : *vocabulary.unused_ids) allowed[id] = false;
  }
  if (params.never_end && vocabulary.end_of_text.has_value() &&
      *vocabulary.end_of_text < vocabulary.num_ids) {
    allowed[*vocabulary.end_of_text] = false;
  }
  return allowed;
}

}  // namespace

absl::Status Validate(const SamplingParams& params) {
  RWKVD_RETURN_IF_ERROR(CheckWithin("temperature", params.temperature, 0, 100));
  RWKVD_RETURN_IF_ERROR(CheckTruncation(params));
  RWKVD_RETURN_IF_ERROR(CheckPenalties(params));
  RWKVD_RETURN_IF_ERROR(CheckSequences(params.sequence_repetition));
  RWKVD_RETURN_IF_ERROR(CheckBiases(params.logit_bias));
  return CheckMirostat(params);
}

absl::Status ValidateTokens(const SamplingParams& params,
                            const SamplingVocabulary& vocabulary) {
  const int64_t num_ids = vocabulary.num_ids;
  for (size_t i = 0; i < params.logit_bias.size(); ++i) {
    RWKVD_RETURN_IF_ERROR(CheckInteger(absl::StrCat("logit_bias[", i, "].id"),
                                       params.logit_bias[i].id, 0,
                                       num_ids - 1));
  }
  RWKVD_RETURN_IF_ERROR(
      CheckIds("banned_tokens", params.banned_tokens, num_ids));
  RWKVD_RETURN_IF_ERROR(
      CheckIds("allowed_tokens", params.allowed_tokens, num_ids));
  RWKVD_RETURN_IF_ERROR(
      CheckIds("forced_tokens", params.forced_tokens, num_ids));
  const std::vector<bool> allowed = CanBeSampled(params, vocabulary);
  if (std::find(allowed.begin(), allowed.end(), true) == allowed.end()) {
    return Refuse("banned_tokens",
                  "together with sampling.allowed_tokens, sampling.never_end "
                  "and the ids that the tokenizer does not use, it leaves no "
                  "token to sample");
  }
  for (size_t i = 0; i < params.forced_tokens.size(); ++i) {
    if (allowed[params.forced_tokens[i]]) continue;
    return FieldError(
        ErrorReason::kFieldsConflict,
        absl::StrCat("sampling.forced_tokens[", i, "]"),
        absl::StrCat("token ", params.forced_tokens[i],
                     " is excluded by sampling.banned_tokens, "
                     "sampling.allowed_tokens or sampling.never_end, or the "
                     "tokenizer does not use it"));
  }
  return absl::OkStatus();
}

SamplingParams RwkvPreset() {
  SamplingParams params;
  params.top_p = 0.85f;
  params.presence_penalty = 0.2f;
  params.frequency_penalty = 0.2f;
  params.penalty_decay = 0.996f;
  params.exempt_blanks_and_digits = true;
  return params;
}

SamplingParams RwkvChatPreset() {
  SamplingParams params;
  params.top_p = 0.3f;
  params.presence_penalty = 0.5f;
  params.frequency_penalty = 0.5f;
  params.penalty_decay = 0.996f;
  params.never_end = true;
  return params;
}

SamplingParams SmolrsrwkvPreset() {
  SamplingParams params;
  params.order = SamplerOrder::kTopKFirst;
  params.repetition_penalty = 1.3f;
  params.repetition_window = 64;
  params.penalty_window = 64;
  params.top_k = 40;
  params.top_p = 0.95f;
  params.temperature = 0.8f;
  return params;
}

}  // namespace rwkvd
