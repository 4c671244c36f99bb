// SPDX-License-Identifier: Apache-2.0
#include "service/calls/tokenize.h"

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace rwkvd {

absl::Status Tokenize(const ServedModel& model,
                      const ::rwkv::v1::TokenizeRequest& request,
                      ::rwkv::v1::TokenizeResponse* response) {
  // Either field is set, or neither.
  const absl::StatusOr<std::vector<int32_t>> ids = model.tokenizer->Encode(
      request.has_bytes() ? request.bytes() : request.text());
  if (!ids.ok()) {
    return absl::Status(ids.status().code(),
                        absl::StrCat(request.has_bytes() ? "bytes: " : "text: ",
                                     ids.status().message()));
  }
  response->mutable_ids()->Assign(ids->begin(), ids->end());
  return absl::OkStatus();
}

}  // namespace rwkvd
