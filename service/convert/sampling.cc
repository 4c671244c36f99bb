// SPDX-License-Identifier: Apache-2.0
#include "service/convert/sampling.h"

#include <cstdint>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/field_error.h"
#include "core/base/status_macros.h"
#include "core/sampling/params.h"

namespace rwkvd {

namespace v1 = ::rwkv::v1;

namespace {

absl::Status Unknown(absl::string_view field, int value) {
  return FieldError(absl::StrCat("sampling.", field),
                    absl::StrCat(value, " is not known"));
}

absl::StatusOr<SamplingParams> ReadPreset(v1::SamplingPreset preset) {
  switch (preset) {
    case v1::SAMPLING_PRESET_UNSPECIFIED:
      return SamplingParams();
    case v1::SAMPLING_PRESET_RWKV:
      return RwkvPreset();
    case v1::SAMPLING_PRESET_RWKV_CHAT:
      return RwkvChatPreset();
    case v1::SAMPLING_PRESET_SMOLRSRWKV:
      return SmolrsrwkvPreset();
    default:
      return Unknown("preset", preset);
  }
}

absl::StatusOr<SamplerOrder> ReadOrder(v1::SamplerOrder order,
                                       SamplerOrder default_order) {
  switch (order) {
    case v1::SAMPLER_ORDER_UNSPECIFIED:
      return default_order;
    case v1::SAMPLER_ORDER_TOP_P_FIRST:
      return SamplerOrder::kTopPFirst;
    case v1::SAMPLER_ORDER_TOP_K_FIRST:
      return SamplerOrder::kTopKFirst;
    case v1::SAMPLER_ORDER_TEMPERATURE_FIRST:
      return SamplerOrder::kTemperatureFirst;
    default:
      return Unknown("order", order);
  }
}

absl::StatusOr<PenaltyScope> ReadScope(v1::PenaltyScope scope) {
  switch (scope) {
    case v1::PENALTY_SCOPE_UNSPECIFIED:
    case v1::PENALTY_SCOPE_OUTPUT:
      return PenaltyScope::kOutput;
    case v1::PENALTY_SCOPE_PROMPT:
      return PenaltyScope::kPrompt;
    case v1::PENALTY_SCOPE_PROMPT_AND_OUTPUT:
      return PenaltyScope::kPromptAndOutput;
    default:
      return Unknown("penalty_scope", scope);
  }
}

void ReadPenalties(const v1::Sampling& proto, SamplingParams* params) {
  if (proto.has_presence_penalty()) {
    params->presence_penalty = proto.presence_penalty();
  }
  if (proto.has_frequency_penalty()) {
    params->frequency_penalty = proto.frequency_penalty();
  }
  if (proto.has_penalty_decay()) params->penalty_decay = proto.penalty_decay();
  if (proto.has_penalty_window()) {
    params->penalty_window = proto.penalty_window();
  }
  if (proto.has_repetition_penalty()) {
    params->repetition_penalty = proto.repetition_penalty();
  }
  if (proto.has_repetition_window()) {
    params->repetition_window = proto.repetition_window();
  }
  if (proto.has_exempt_blanks_and_digits()) {
    params->exempt_blanks_and_digits = proto.exempt_blanks_and_digits();
  }
}

void ReadSequences(const v1::SequenceRepetition& proto,
                   SequenceRepetition* params) {
  params->flat_penalty = proto.flat_penalty();
  params->stacking_penalty = proto.stacking_penalty();
  if (proto.has_min_length()) params->min_length = proto.min_length();
  if (proto.has_window()) params->window = proto.window();
  params->tolerance = proto.tolerance();
  if (proto.has_max_merge()) params->max_merge = proto.max_merge();
}

void ReadChoices(const v1::Sampling& proto, SamplingParams* params) {
  if (proto.has_temperature()) params->temperature = proto.temperature();
  if (proto.has_mirostat()) {  // replaces the values of the preset
    params->top_k = 0;
    params->top_p = 1;
    const v1::Mirostat& mirostat = proto.mirostat();
    params->mirostat.version = mirostat.version() == 0 ? 2 : mirostat.version();
    if (mirostat.has_tau()) params->mirostat.tau = mirostat.tau();
    if (mirostat.has_eta()) params->mirostat.eta = mirostat.eta();
  }
  if (proto.has_top_k()) params->top_k = proto.top_k();
  if (proto.has_top_p()) params->top_p = proto.top_p();
  if (proto.has_tail_free_z()) params->tail_free_z = proto.tail_free_z();
  if (proto.has_typical_p()) params->typical_p = proto.typical_p();
  if (proto.has_min_p()) params->min_p = proto.min_p();
}

void ReadTokens(const v1::Sampling& proto, SamplingParams* params) {
  for (const v1::LogitBias& bias : proto.logit_bias()) {
    params->logit_bias.push_back({bias.id(), bias.bias()});
  }
  params->banned_tokens.assign(proto.banned_tokens().begin(),
                               proto.banned_tokens().end());
  params->allowed_tokens.assign(proto.allowed_tokens().begin(),
                                proto.allowed_tokens().end());
  params->forced_tokens.assign(proto.forced_tokens().begin(),
                               proto.forced_tokens().end());
  if (proto.has_never_end()) params->never_end = proto.never_end();
}

uint64_t RandomSeed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

}  // namespace

absl::StatusOr<SamplingParams> FromProto(const v1::Sampling& proto) {
  RWKVD_ASSIGN_OR_RETURN(SamplingParams params, ReadPreset(proto.preset()));
  RWKVD_ASSIGN_OR_RETURN(params.order, ReadOrder(proto.order(), params.order));
  RWKVD_ASSIGN_OR_RETURN(params.penalty_scope,
                         ReadScope(proto.penalty_scope()));
  ReadPenalties(proto, &params);
  ReadSequences(proto.sequence_repetition(), &params.sequence_repetition);
  ReadChoices(proto, &params);
  ReadTokens(proto, &params);
  params.seed = proto.has_seed() ? proto.seed() : RandomSeed();
  return params;
}

}  // namespace rwkvd
