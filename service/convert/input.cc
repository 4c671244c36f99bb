// SPDX-License-Identifier: Apache-2.0
#include "service/convert/input.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/base/number_text.h"
#include "core/base/status_macros.h"
#include "service/convert/chat_input.h"
#include "service/convert/request_memory.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

// A year.
constexpr int64_t kMaxTimeToLiveSeconds = 365 * 24 * 3600;

// Tokenizes `bytes` within what `limits` reserve.
absl::StatusOr<std::vector<int32_t>> Encode(absl::string_view bytes,
                                            const RequestLimits& limits,
                                            absl::string_view field,
                                            absl::string_view form,
                                            const TokenLimit& limit) {
  const int64_t most = limits.tokenizer.MaxEncodeMemory(bytes, limit.tokens);
  RWKVD_RETURN_IF_ERROR(ReserveMore(limits.memory, most));
  auto ids = limits.tokenizer.Encode(bytes, limit.tokens);
  if (ids.ok()) {
    ids->shrink_to_fit();
    // Less than before, which never fails.
    (void)ReserveMore(
        limits.memory,
        static_cast<int64_t>(ids->size() * sizeof(int32_t)) - most);
    return ids;
  }
  return EncodeError(ids.status(), field, form, limit);
}

}  // namespace

absl::Status EncodeError(const absl::Status& status, absl::string_view field,
                         absl::string_view form, const TokenLimit& limit) {
  switch (status.code()) {
    case absl::StatusCode::kOutOfRange:
      return WithMetadata(
          FieldError(ErrorReason::kTooManyTokens, field,
                     absl::StrCat(status.message(), ", must have 0 to ",
                                  limit.tokens, limit.note)),
          "limit", absl::StrCat(limit.tokens));
    case absl::StatusCode::kResourceExhausted:
      return status;
    default:
      return InField(absl::StrCat(field, ".", form), status);
  }
}

absl::StatusOr<std::vector<int32_t>> TokensFromProto(
    const v1::Input& input, const RequestLimits& limits,
    absl::string_view field, const TokenLimit& limit) {
  switch (input.input_case()) {
    case v1::Input::kText:
      return Encode(input.text(), limits, field, "text", limit);
    case v1::Input::kBytes:
      return Encode(input.bytes(), limits, field, "bytes", limit);
    case v1::Input::kTokens:
      // The memory of the message covers the copy.
      return std::vector<int32_t>(input.tokens().ids().begin(),
                                  input.tokens().ids().end());
    case v1::Input::kConversation: {
      RWKVD_ASSIGN_OR_RETURN(
          ChatTokens chat,
          ChatFromProto(input.conversation(), limits, field, limit));
      return std::move(chat.ids);
    }
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
  return FieldError(field, absl::StrCat(NumberText(seconds), " is not in (0, ",
                                        kMaxTimeToLiveSeconds, "]"));
}

}  // namespace rwkvd
