// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_CONVERT_H_
#define RWKVD_SERVICE_CONVERT_CONVERT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/engine/engine.h"
#include "core/engine/named_state.h"
#include "core/engine/request.h"
#include "core/engine/sink.h"
#include "core/text/tokenizer.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/served_model.h"

namespace rwkvd {

namespace v1 = ::rwkv::v1;

// What a request is checked against. Refers to a ServedModel's parts.
struct RequestLimits {
  const Tokenizer& tokenizer;
  int64_t vocab_size = 0;
  const EngineOptions& engine;
  absl::Span<const NamedState> initial_states;
};

RequestLimits LimitsOf(const ServedModel& model);

// The only conversions between the wire and core. From the wire: text is
// tokenized and every range checked; InvalidArgument names the field as the
// contract does. `received` is left for the caller to set.
absl::StatusOr<GenerateRequest> FromProto(const v1::GenerateRequest& proto,
                                          const RequestLimits& limits);
absl::StatusOr<ScoreRequest> FromProto(const v1::ScoreRequest& proto,
                                       const RequestLimits& limits);
// The tokens of a document's part.
absl::StatusOr<std::vector<int32_t>> FromProto(const v1::Input& part,
                                               const RequestLimits& limits);

// How many samples of a request are drawn, and how many of them returned.
struct SampleCounts {
  int32_t drawn = 1;
  int32_t returned = 1;
};
absl::StatusOr<SampleCounts> SamplesFromProto(const v1::GenerateRequest& proto,
                                              const RequestLimits& limits);

// Rename the fields in core's errors to those of the wire, for a request with
// `items` or with a single context.
absl::Status NameGenerateField(const absl::Status& status);
absl::Status NameScoreField(const absl::Status& status, bool has_items);

// Adds a token, and what it releases, to a delta.
void AppendToken(const TokenEvent& event, bool with_logprob, v1::Delta* delta);
void AppendPromptToken(const PromptEvent::Token& token, v1::Delta* delta);
void ToProto(const FinishEvent& event, uint64_t seed, v1::Finish* finish);
// Of the event's token at `index`.
void ToProto(const ScoreEvent& event, size_t index, v1::TokenScore* token);
void ToProto(const ScoreEvent& event, bool with_tokens,
             v1::ContinuationScore* score);
void ToProto(const Usage& usage, v1::Usage* proto);
void ToProto(const Times& times, v1::Times* proto);
void ToProto(absl::Span<const PinnedPrefix> pinned, absl::Time now,
             v1::ListPinnedPrefixesResponse* response);
void ToProto(const ServedModel& model, v1::GetModelResponse* response);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_CONVERT_H_
