// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_RESPONSES_H_
#define RWKVD_SERVICE_CONVERT_RESPONSES_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/engine/engine.h"
#include "core/engine/sink.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/convert/token_texts.h"
#include "service/served_model.h"
#include "service/states/saved_states.h"

namespace rwkvd {

namespace v1 = ::rwkv::v1;

// The functions below convert core's results to messages.

// Bytes of a state in one message: well below what clients accept by default
// (4 MiB).
inline constexpr size_t kStateChunkBytes = size_t{256} << 10;

// Appends a generated token, and the text that it releases, to `delta`.
void AppendToken(const TokenEvent& event, bool with_logprob, TokenTexts texts,
                 v1::Delta* delta);
void AppendPromptToken(const PromptEvent::Token& token, TokenTexts texts,
                       v1::Delta* delta);
void ToProto(const FinishEvent& event, uint64_t seed, v1::Finish* finish);
// Converts the score of one token: the event's token number `index`.
void ToProto(const ScoreEvent& event, size_t index, TokenTexts texts,
             v1::TokenScore* token);
void ToProto(const ScoreEvent& event, bool with_tokens, TokenTexts texts,
             v1::ContinuationScore* score);
void ToProto(const Usage& usage, v1::Usage* proto);
void ToProto(const Times& times, v1::Times* proto);
void ToProto(const SavedState& saved, absl::Time now, v1::StateInfo* proto);
void ToProto(absl::Span<const PinnedPrefix> pinned, absl::Time now,
             v1::ListPinnedPrefixesResponse* response);
void ToProto(const ServedModel& model, v1::GetModelResponse* response);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_RESPONSES_H_
