// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_VALIDATE_H_
#define RWKVD_CORE_ENGINE_VALIDATE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/engine/engine_options.h"
#include "core/engine/request.h"

namespace rwkvd {

// The maximum number of tokens of a snapshot.
int64_t MaxSnapshotTokens(const EngineOptions& options);

// OK if a request may have `n` samples; otherwise a FieldError for `field`.
absl::Status ValidateSamples(absl::string_view field, int64_t n,
                             const EngineOptions& options);

// OK if the engine can run `request` on a model with `vocab_size` tokens;
// otherwise a FieldError with the field's value and range. Does not check the
// `start` of a GenerateRequest and what depends on it: ValidateStart does.
absl::Status Validate(const GenerateRequest& request,
                      const EngineOptions& options, int64_t vocab_size);
absl::Status ValidateStart(const GenerateRequest& request,
                           const EngineOptions& options);
absl::Status Validate(const ScoreRequest& request, const EngineOptions& options,
                      int64_t vocab_size);

// The most tokens that one request may count for, with all of its samples: half
// of max_total_tokens, but enough for any request with one sample.
int64_t MaxRequestTokens(const EngineOptions& options);

// The tokens that a request counts for in EngineOptions::max_total_tokens: all
// that it may process and generate.
int64_t TokensOf(const GenerateRequest& request);
int64_t TokensOf(const ScoreRequest& request);

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_VALIDATE_H_
