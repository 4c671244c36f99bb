// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_INPUT_H_
#define RWKVD_SERVICE_CONVERT_INPUT_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/text/tokenizer.h"
#include "rwkv/v1/rwkv.pb.h"

namespace rwkvd {

// The tokens of `input`; none if it is not set. Text and bytes are tokenized;
// token ids are returned as they are, unchecked. Errors of the tokenizer are
// prefixed with `field`, the name of `input` on the wire.
absl::StatusOr<std::vector<int32_t>> TokensFromProto(
    const ::rwkv::v1::Input& input, const Tokenizer& tokenizer,
    absl::string_view field);

// The time for which the server is to keep something. InvalidArgument, with the
// name of `field`, if `seconds` is not in (0, a year].
absl::StatusOr<absl::Duration> TimeToLiveFromProto(absl::string_view field,
                                                   double seconds);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_INPUT_H_
