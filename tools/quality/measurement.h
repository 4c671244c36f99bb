// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_QUALITY_MEASUREMENT_H_
#define RWKVD_TOOLS_QUALITY_MEASUREMENT_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/base/thread_pool.h"
#include "core/model/model.h"

namespace rwkvd {

// A text. Every token except the first is predicted from those before it.
struct Document {
  std::vector<int32_t> tokens;
  int64_t num_bytes = 0;  // of the predicted tokens
};

// How quality is measured. A value.
struct QualityOptions {
  // The reference continues the first `prompt_tokens` tokens of each document
  // greedily, by `greedy_tokens` tokens; 0: no continuation.
  int64_t prompt_tokens = 32;
  int64_t greedy_tokens = 256;
};

// How well a model predicts texts, and how much it differs from a reference
// model.
struct Quality {
  int64_t num_tokens = 0;  // predicted
  int64_t num_bytes = 0;
  double bits_per_byte = 0;
  double reference_bits_per_byte = 0;
  // KL divergence of the model's distribution from the reference's, per
  // predicted token, in nats.
  double mean_kl = 0;
  double kl_999 = 0;  // the 99.9th percentile
  // The greedy continuations that the reference generates.
  int64_t num_greedy_tokens = 0;
  // The share of these tokens that is also the model's likeliest token.
  double greedy_agreement = 0;
  // The mean number of tokens before the first one that is not.
  double greedy_prefix = 0;
};

// Runs both models over all documents on `pool`; each document begins with the
// model's initial state. The result depends on the models, the documents and
// the instruction set alone. At least one token must be predicted.
Quality MeasureQuality(const Model& reference, const Model& model,
                       absl::Span<const Document> documents,
                       const QualityOptions& options, ThreadPool& pool);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_QUALITY_MEASUREMENT_H_
