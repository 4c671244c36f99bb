// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_QUALITY_MEASUREMENT_H_
#define RWKVD_TOOLS_QUALITY_MEASUREMENT_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/base/thread_pool.h"
#include "core/model/model.h"

namespace rwkvd {

// A text to predict: every token but the first, each from those before it.
struct Document {
  std::vector<int32_t> tokens;
  int64_t num_bytes = 0;  // that the predicted tokens stand for
};

struct QualityOptions {
  // Of each document's first tokens the reference writes on.
  int64_t prompt_tokens = 32;
  int64_t greedy_tokens = 256;  // so many; 0: none
};

// How a model predicts texts, and how far it is from a reference model.
struct Quality {
  int64_t num_tokens = 0;  // predicted
  int64_t num_bytes = 0;
  double bits_per_byte = 0;
  double reference_bits_per_byte = 0;
  // Of the reference's distribution from the model's, over the tokens, in nats.
  double mean_kl = 0;
  double kl_999 = 0;  // 99.9 % are at most this
  // Texts that the reference writes, always taking the likeliest token.
  int64_t num_greedy_tokens = 0;
  double greedy_agreement = 0;  // of these, those that the model would take
  double greedy_prefix = 0;     // mean tokens before the first it would not
};

// Both models read all documents from their own state before the first token,
// on `pool`. The result depends on the models and the instruction set alone.
// Needs at least one token to predict.
Quality MeasureQuality(const Model& reference, const Model& model,
                       absl::Span<const Document> documents,
                       const QualityOptions& options, ThreadPool& pool);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_QUALITY_MEASUREMENT_H_
