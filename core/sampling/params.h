// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_PARAMS_H_
#define RWKVD_CORE_SAMPLING_PARAMS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"

namespace rwkvd {

// Limits on the values of a request.
inline constexpr int64_t kMaxTokenChoices = 65536;  // entries per list of ids
inline constexpr int32_t kMaxPenaltyWindow = 65536;
inline constexpr int32_t kMaxSequenceWindow = 256;
inline constexpr int32_t kMaxSequenceTolerance = 4;
inline constexpr int32_t kMaxSequenceMerge = 4;

// The order in which the enabled truncation samplers and the temperature apply;
// see docs/sampling.md.
enum class SamplerOrder {
  // RWKV's own: top-p, top-k, tail-free, typical, min-p, temperature.
  kTopPFirst,
  // smolrsrwkv's: top-k, tail-free, typical, top-p, min-p, temperature.
  kTopKFirst,
  // Most other programs': temperature, top-k, tail-free, typical, top-p, min-p.
  kTemperatureFirst,
};

// The tokens that the penalties count.
enum class PenaltyScope { kOutput, kPrompt, kPromptAndOutput };

// A value that is added to the logit of one token.
struct LogitBias {
  int32_t id = 0;
  float bias = 0;  // [-100, 100]
};

// The penalty on a token that would repeat an earlier sequence of tokens; see
// FindRepeatedSequences.
struct SequenceRepetition {
  // Subtracted from the token's logit: flat_penalty once, and stacking_penalty
  // for each token of the repeated sequence. [-100, 100].
  float flat_penalty = 0;
  float stacking_penalty = 0;
  // The minimum number of tokens that must match. [1, 256].
  int32_t min_length = 4;
  // The number of most recent tokens that are searched. [2, 256].
  int32_t window = 64;
  // The number of wildcards in a match. [0, 4].
  int32_t tolerance = 0;
  // The maximum number of earlier tokens that one wildcard matches. [1, 4].
  int32_t max_merge = 1;
};

// Mirostat keeps the surprise of the sampled tokens near a target
// (arXiv 2007.14966).
struct MirostatParams {
  int32_t version = 0;  // 1 or 2; 0: off
  float tau = 5;        // target surprise in bits, (0, 100]
  float eta = 0.1f;     // learning rate, (0, 10]
};

// How the next token is sampled: bias, penalties, truncation and temperature in
// the given order, then a random choice. The defaults leave the model's
// distribution unchanged. A value.
struct SamplingParams {
  // Probabilities are raised to the power of 1/temperature. 0 selects the
  // likeliest token; 1 leaves the probabilities unchanged. [0, 100].
  float temperature = 1.0f;
  // Keeps only the k likeliest tokens; 0 keeps all. >= 0.
  int32_t top_k = 0;
  // Keeps the smallest set of likeliest tokens whose probabilities sum to top_p
  // or more, and all tokens as likely as the last one of them; 1 keeps all.
  // (0, 1].
  float top_p = 1.0f;
  // Subtracted once from the logit of each token seen before. [-100, 100].
  float presence_penalty = 0.0f;
  // Subtracted from that logit for each time the token was seen. [-100, 100].
  float frequency_penalty = 0.0f;
  // Each step multiplies the counts of earlier tokens by this. [0, 1].
  float penalty_decay = 1.0f;
  // The same seed, model and request give the same tokens.
  uint64_t seed = 0;

  SamplerOrder order = SamplerOrder::kTopPFirst;
  // Added to logits before any penalty.
  std::vector<LogitBias> logit_bias;
  // Ids that are never sampled.
  std::vector<int32_t> banned_tokens;
  // If not empty, the only ids that are sampled.
  std::vector<int32_t> allowed_tokens;
  // The output begins with these ids, whatever the logits are.
  std::vector<int32_t> forced_tokens;
  // Whether the end of text is never sampled.
  bool never_end = false;
  // Until this many tokens have been sampled, forced ones included, the
  // late_tokens are never sampled. >= 0.
  int64_t min_tokens = 0;
  std::vector<int32_t> late_tokens;
  // The logit of a token seen before is divided by this if it is positive, else
  // multiplied by it; 1: off. [0.01, 100].
  float repetition_penalty = 1.0f;
  // The number of most recent tokens that the repetition penalty counts; 0: all
  // tokens. [0, 65536].
  int32_t repetition_window = 64;
  // The number of most recent tokens that the presence and frequency penalties
  // count; 0: all tokens. [0, 65536].
  int32_t penalty_window = 0;
  PenaltyScope penalty_scope = PenaltyScope::kOutput;
  // Whether frequency_penalty counts blanks and digits as seen 0 times.
  bool exempt_blanks_and_digits = false;
  SequenceRepetition sequence_repetition;
  // See KeepTailFree, KeepLocallyTypical and KeepMinP.
  float tail_free_z = 1.0f;  // 1: off. (0, 1]
  float typical_p = 1.0f;    // 1: off. (0, 1]
  float min_p = 0.0f;        // 0: off. [0, 1]
  // Replaces all truncation samplers and applies after the temperature.
  MirostatParams mirostat;
};

// What sampling needs to know about the model's tokens. A value.
struct SamplingVocabulary {
  // Ids from num_ids on are never sampled: the model's vocabulary may be larger
  // than the tokenizer's.
  int64_t num_ids = 0;
  // The token that ends a document, if there is one.
  std::optional<int32_t> end_of_text;
  // The tokens that exempt_blanks_and_digits exempts, in ascending order.
  std::vector<int32_t> blanks_and_digits;
  // Ids below num_ids that the tokenizer does not use, in ascending order. They
  // are never sampled. Null if there are none; samplers share the list.
  std::shared_ptr<const std::vector<int32_t>> unused_ids;
};

// Checks the ranges of all values that do not depend on the vocabulary. Returns
// InvalidArgument that names the field, its value and its range, or the fields
// that exclude one another. NaN is outside of every range.
absl::Status Validate(const SamplingParams& params);

// Checks the token ids in `params`: each one exists, and at least one token can
// be sampled. Returns InvalidArgument that names the field.
absl::Status ValidateTokens(const SamplingParams& params,
                            const SamplingVocabulary& vocabulary);

// The defaults of the pip package rwkv (PIPELINE_ARGS): temperature 1, top-p
// 0.85, presence and frequency 0.2, decay 0.996, blanks and digits exempt,
// top-p first.
SamplingParams RwkvPreset();

// The defaults of RWKV's chat demonstration (API_DEMO_CHAT.py): temperature 1,
// top-p 0.3, presence and frequency 0.5, decay 0.996, never ending, top-p
// first.
SamplingParams RwkvChatPreset();

// The defaults of smolrsrwkv: repetition 1.3 over 64 tokens, presence and
// frequency over 64 tokens, top-k 40, top-p 0.95, temperature 0.8, top-k first.
SamplingParams SmolrsrwkvPreset();

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_PARAMS_H_
