// SPDX-License-Identifier: Apache-2.0
#include "service/calls/detokenize.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "core/base/status_macros.h"
#include "core/text/utf8_stream.h"

namespace rwkvd {
namespace {

absl::Status CheckIds(absl::Span<const int32_t> ids, int64_t vocab_size) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab_size) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "ids[", i, "]: token ", ids[i], " is not in [0, ", vocab_size, ")"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Detokenize(const ServedModel& model,
                        const ::rwkv::v1::DetokenizeRequest& request,
                        ::rwkv::v1::DetokenizeResponse* response) {
  const absl::Span<const int32_t> ids = absl::MakeConstSpan(
      request.ids().data(), static_cast<size_t>(request.ids_size()));
  RWKVD_RETURN_IF_ERROR(CheckIds(ids, model.model->config().vocab_size));
  std::string bytes = model.tokenizer->Decode(ids);
  Utf8Stream utf8;
  std::string text = utf8.Append(bytes);
  absl::StrAppend(&text, utf8.Finish());
  response->set_text(std::move(text));
  response->set_bytes(std::move(bytes));
  return absl::OkStatus();
}

}  // namespace rwkvd
