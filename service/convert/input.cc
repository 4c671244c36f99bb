// SPDX-License-Identifier: Apache-2.0
#include "service/convert/input.h"

#include "absl/strings/str_cat.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

// A year.
constexpr int64_t kMaxTimeToLiveSeconds = 365 * 24 * 3600;

}  // namespace

absl::StatusOr<std::vector<int32_t>> TokensFromProto(const v1::Input& input,
                                                     const Tokenizer& tokenizer,
                                                     absl::string_view field) {
  const auto encode = [&](absl::string_view bytes, absl::string_view form) {
    auto ids = tokenizer.Encode(bytes);
    if (ids.ok()) return ids;
    return absl::StatusOr<std::vector<int32_t>>(absl::Status(
        ids.status().code(),
        absl::StrCat(field, ".", form, ": ", ids.status().message())));
  };
  switch (input.input_case()) {
    case v1::Input::kText:
      return encode(input.text(), "text");
    case v1::Input::kBytes:
      return encode(input.bytes(), "bytes");
    case v1::Input::kTokens:
      return std::vector<int32_t>(input.tokens().ids().begin(),
                                  input.tokens().ids().end());
    case v1::Input::INPUT_NOT_SET:
      break;
  }
  return std::vector<int32_t>();
}

absl::StatusOr<absl::Duration> TimeToLiveFromProto(absl::string_view field,
                                                   double seconds) {
  if (seconds > 0 && seconds <= kMaxTimeToLiveSeconds) {
    return absl::Seconds(seconds);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      field, ": ", seconds, " is not in (0, ", kMaxTimeToLiveSeconds, "]"));
}

}  // namespace rwkvd
