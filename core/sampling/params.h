// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_PARAMS_H_
#define RWKVD_CORE_SAMPLING_PARAMS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"

namespace rwkvd {

// Limits on what a request may say.
inline constexpr int64_t kMaxTokenChoices = 65536;  // ids in each list of them
inline constexpr int32_t kMaxPenaltyWindow = 65536;
inline constexpr int32_t kMaxSequenceWindow = 256;
inline constexpr int32_t kMaxSequenceTolerance = 4;
inline constexpr int32_t kMaxSequenceMerge = 4;

// In which order the samplers that choose from the likelier tokens apply, those
// that are on; see docs/sampling.md.
enum class SamplerOrder {
  // RWKV's own: top-p, top-k, tail-free, typical, min-p, temperature.
  kTopPFirst,
  // smolrsrwkv's: top-k, tail-free, typical, top-p, min-p, temperature.
  kTopKFirst,
  // Most others': temperature, top-k, tail-free, typical, top-p, min-p.
  kTemperatureFirst,
};

// Which tokens the penalties look at.
enum class PenaltyScope { kOutput, kPrompt, kPromptAndOutput };

struct LogitBias {
  int32_t id = 0;
  float bias = 0;  // [-100, 100]
};

// What a token costs that would repeat a sequence seen before; see
// FindRepeatedSequences.
struct SequenceRepetition {
  // Taken once, and for each token of the sequence. [-100, 100].
  float flat_penalty = 0;
  float stacking_penalty = 0;
  // Tokens that must agree. [1, 256].
  int32_t min_length = 4;
  // Last tokens that are looked at. [2, 256].
  int32_t window = 64;
  // Wildcards: how many, and how many earlier tokens one may stand for.
  int32_t tolerance = 0;  // [0, 4]
  int32_t max_merge = 1;  // [1, 4]
};

// Keeps the surprise of the tokens drawn near a target (arXiv 2007.14966).
struct MirostatParams {
  int32_t version = 0;  // 1 or 2; 0 for none
  float tau = 5;        // the target, in bits. (0, 100]
  float eta = 0.1f;     // how fast it is approached. (0, 10]
};

// How the next token is drawn: bias, penalties, choice of candidates and
// temperature in the given order, draw. The defaults leave the model's
// distribution as it is. A value.
struct SamplingParams {
  // 0 takes the likeliest token; 1 leaves the model's probabilities as they
  // are. Probabilities are raised to 1/temperature. [0, 100].
  float temperature = 1.0f;
  // Only the k likeliest tokens; 0 for all. >= 0.
  int32_t top_k = 0;
  // Only the likeliest tokens whose probabilities first sum to top_p or more
  // (tokens as likely as the last of them stay too); 1 for all. (0, 1].
  float top_p = 1.0f;
  // Taken once from the logit of each token seen before. [-100, 100].
  float presence_penalty = 0.0f;
  // Taken from it for each time it was seen. [-100, 100].
  float frequency_penalty = 0.0f;
  // Each step multiplies the counts of earlier tokens by this. [0, 1].
  float penalty_decay = 1.0f;
  // The same seed, model and request give the same tokens.
  uint64_t seed = 0;

  SamplerOrder order = SamplerOrder::kTopPFirst;
  // Added to logits before anything else.
  std::vector<LogitBias> logit_bias;
  // Never drawn.
  std::vector<int32_t> banned_tokens;
  // If not empty, only these are drawn.
  std::vector<int32_t> allowed_tokens;
  // The answer begins with these, whatever the logits.
  std::vector<int32_t> forced_tokens;
  // Whether the end of text is never drawn.
  bool never_end = false;
  // The logit of a token seen before is divided by this if it is positive, else
  // multiplied; 1 for none. [0.01, 100].
  float repetition_penalty = 1.0f;
  // Last tokens it looks at; 0 for all. [0, 65536].
  int32_t repetition_window = 64;
  // Last tokens that presence and frequency look at; 0 for all. [0, 65536].
  int32_t penalty_window = 0;
  PenaltyScope penalty_scope = PenaltyScope::kOutput;
  // Whether frequency_penalty counts blanks and digits as seen 0 times.
  bool exempt_blanks_and_digits = false;
  SequenceRepetition sequence_repetition;
  // See KeepTailFree, KeepLocallyTypical and KeepMinP.
  float tail_free_z = 1.0f;  // 1 for off. (0, 1]
  float typical_p = 1.0f;    // 1 for off. (0, 1]
  float min_p = 0.0f;        // 0 for off. [0, 1]
  // Instead of all choices of candidates; after the temperature.
  MirostatParams mirostat;
};

// What sampling has to know of the tokens. A value.
struct SamplingVocabulary {
  // Ids from here on are never drawn: the model's vocabulary may be larger than
  // the tokenizer's.
  int64_t num_ids = 0;
  // The token that ends a document, if there is one.
  std::optional<int32_t> end_of_text;
  // The tokens of blanks or digits, ascending:
  // SamplingParams::exempt_blanks_and_digits.
  std::vector<int32_t> blanks_and_digits;
};

// InvalidArgument naming the field, its value and its range, or the fields that
// do not go together. NaN is in no range.
absl::Status Validate(const SamplingParams& params);

// The same for the tokens it names: they exist, and some may be drawn.
absl::Status ValidateTokens(const SamplingParams& params,
                            const SamplingVocabulary& vocabulary);

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

#endif  // RWKVD_CORE_SAMPLING_PARAMS_H_
