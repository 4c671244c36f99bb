// SPDX-License-Identifier: Apache-2.0
#include "service/calls/tokenize.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "core/base/field_error.h"
#include "core/base/status_macros.h"
#include "service/convert/request_memory.h"
#include "service/convert/response_size.h"

namespace rwkvd {

absl::Status Tokenize(const ServedModel& model,
                      const ::rwkv::v1::TokenizeRequest& request,
                      ByteBudget::Reservation* memory,
                      ::rwkv::v1::TokenizeResponse* response) {
  const Tokenizer& tokenizer = *model.tokenizer;
  const int64_t most = MaxTokensInResponse(tokenizer.size());
  // Either field is set, or neither.
  const std::string& bytes =
      request.has_bytes() ? request.bytes() : request.text();
  const absl::string_view field = request.has_bytes() ? "bytes" : "text";
  // Includes the memory of the response, which takes less than the growing list
  // of tokens.
  RWKVD_RETURN_IF_ERROR(
      ReserveMore(memory, 2 * tokenizer.MaxEncodeMemory(bytes, most)));
  const absl::StatusOr<std::vector<int32_t>> ids =
      tokenizer.Encode(bytes, most);
  if (ids.ok()) {
    response->mutable_ids()->Assign(ids->begin(), ids->end());
    return absl::OkStatus();
  }
  if (ids.status().code() == absl::StatusCode::kOutOfRange) {
    return FieldError(
        ErrorReason::kResponseTooLarge, field,
        absl::StrCat(ids.status().message(),
                     ", which may not fit an answer of ",
                     kDefaultMaxResponseBytes,
                     " bytes, the most that clients accept by default; send "
                     "the ",
                     field, " in parts"));
  }
  return InField(field, ids.status());
}

}  // namespace rwkvd
