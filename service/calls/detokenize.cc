// SPDX-License-Identifier: Apache-2.0
#include "service/calls/detokenize.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "core/base/field_error.h"
#include "core/base/status_macros.h"
#include "core/text/utf8_stream.h"
#include "service/convert/request_memory.h"
#include "service/convert/response_size.h"

namespace rwkvd {
namespace {

absl::Status CheckIds(absl::Span<const int32_t> ids, int64_t vocab_size) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab_size) continue;
    return FieldError(
        absl::StrCat("ids[", i, "]"),
        absl::StrCat("token ", ids[i], " is not in [0, ", vocab_size, ")"));
  }
  return absl::OkStatus();
}

// Tags and lengths of the two fields of the response.
constexpr int64_t kHeaderBytes = 2 * (1 + 5);

// Memory while the answer is computed, as a multiple of the number of bytes:
// the bytes themselves and a text that grows, each byte of which may become
// U+FFFD, and the copy that Utf8Stream makes.
constexpr int64_t kMemoryPerByte = 3 + 3 * 3;

absl::Status TooLarge(int64_t size) {
  return FieldError(ErrorReason::kResponseTooLarge, "ids",
                    absl::StrCat("the answer would have ", size,
                                 " bytes or more, but clients accept ",
                                 kDefaultMaxResponseBytes,
                                 " by default; send the ids in parts"));
}

int64_t NumBytes(const Tokenizer& tokenizer, absl::Span<const int32_t> ids) {
  int64_t bytes = 0;
  for (const int32_t id : ids) {
    bytes += static_cast<int64_t>(tokenizer.TokenBytes(id).size());
  }
  return bytes;
}

}  // namespace

absl::Status Detokenize(const ServedModel& model,
                        const ::rwkv::v1::DetokenizeRequest& request,
                        ByteBudget::Reservation* memory,
                        ::rwkv::v1::DetokenizeResponse* response) {
  if (!model.tokenizer->has_bytes()) {
    return FieldError(
        ErrorReason::kNoTokenizer, "ids",
        "this model has no tokenizer, so its tokens stand for no text");
  }
  const absl::Span<const int32_t> ids = absl::MakeConstSpan(
      request.ids().data(), static_cast<size_t>(request.ids_size()));
  RWKVD_RETURN_IF_ERROR(CheckIds(ids, model.model->config().vocab_size));
  const int64_t num_bytes = NumBytes(*model.tokenizer, ids);
  // The text has at least as many bytes.
  if (2 * num_bytes + kHeaderBytes > kDefaultMaxResponseBytes) {
    return TooLarge(2 * num_bytes);
  }
  RWKVD_RETURN_IF_ERROR(ReserveMore(memory, kMemoryPerByte * num_bytes));
  std::string bytes = model.tokenizer->Decode(ids);
  std::string text = ToUtf8(bytes);
  const auto size = static_cast<int64_t>(bytes.size() + text.size());
  if (size + kHeaderBytes > kDefaultMaxResponseBytes) return TooLarge(size);
  response->set_text(std::move(text));
  response->set_bytes(std::move(bytes));
  return absl::OkStatus();
}

}  // namespace rwkvd
