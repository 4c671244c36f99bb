// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_PRESETS_H_
#define RWKVD_CORE_SAMPLING_PRESETS_H_

#include "core/sampling/sampling_params.h"

namespace rwkvd {

// The defaults of RWKV's own package (pip's rwkv, PIPELINE_ARGS): temperature
// 1, top-p 0.85, presence and frequency 0.2, decay 0.996, blanks and digits
// exempt, top-p first.
SamplingParams RwkvPreset();

// Those of its chat demonstration (API_DEMO_CHAT.py): temperature 1, top-p 0.3,
// presence and frequency 0.5, decay 0.996, never ending, top-p first.
SamplingParams RwkvChatPreset();

// smolrsrwkv's: repetition 1.3 over 64 tokens, presence and frequency over 64,
// top-k 40, top-p 0.95, temperature 0.8, top-k first.
SamplingParams SmolrsrwkvPreset();

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_PRESETS_H_
