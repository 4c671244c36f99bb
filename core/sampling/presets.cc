// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/presets.h"

namespace rwkvd {

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
