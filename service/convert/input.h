// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_INPUT_H_
#define RWKVD_SERVICE_CONVERT_INPUT_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/convert/request_limits.h"

namespace rwkvd {

// The most tokens that a text may have. A value.
struct TokenLimit {
  int64_t tokens;               // >= 0
  absl::string_view note = "";  // added to the error if there are more
};

// The tokens of `input`; none if it is not set. Text and bytes are tokenized,
// conversations rendered, too; token ids are returned as they are, unchecked.
// Errors begin with `field`, the name of `input` on the wire: those of the
// tokenizer and of RenderFromProto; a FieldError if there are more than
// `limit`, which ends tokenizing; and those of ReserveMore.
absl::StatusOr<std::vector<int32_t>> TokensFromProto(
    const ::rwkv::v1::Input& input, const RequestLimits& limits,
    absl::string_view field, const TokenLimit& limit);

// The error of an input in `form`, "text", that cannot be tokenized: `status`
// is that of Tokenizer::Encode or ReserveMore.
absl::Status EncodeError(const absl::Status& status, absl::string_view field,
                         absl::string_view form, const TokenLimit& limit);

// The time for which the server is to keep something. InvalidArgument, with the
// name of `field`, if `seconds` is not in (0, a year].
absl::StatusOr<absl::Duration> TimeToLiveFromProto(absl::string_view field,
                                                   double seconds);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_INPUT_H_
