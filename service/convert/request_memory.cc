// SPDX-License-Identifier: Apache-2.0
#include "service/convert/request_memory.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/engine/retry_after.h"

namespace rwkvd {
namespace {

// When a client should retry if the budget has too little left.
constexpr absl::Duration kRetryAfter = absl::Seconds(1);

template <typename T>
int64_t BytesOf(const std::vector<T>& values) {
  return static_cast<int64_t>(values.capacity() * sizeof(T));
}

}  // namespace

int64_t ConvertedBytes(const GenerateRequest& request) {
  const SamplingParams& sampling = request.sampling;
  int64_t bytes = BytesOf(request.prompt) + BytesOf(request.stop_tokens) +
                  BytesOf(request.stop_strings) + BytesOf(sampling.logit_bias) +
                  BytesOf(sampling.banned_tokens) +
                  BytesOf(sampling.allowed_tokens) +
                  BytesOf(sampling.forced_tokens);
  for (const std::string& text : request.stop_strings) {
    bytes += static_cast<int64_t>(text.capacity());
  }
  return bytes;
}

int64_t ConvertedBytes(const ScoreRequest& request) {
  int64_t bytes = BytesOf(request.items);
  for (const ScoreItem& item : request.items) {
    bytes += BytesOf(item.context) + BytesOf(item.continuations);
    for (const std::vector<int32_t>& tokens : item.continuations) {
      bytes += BytesOf(tokens);
    }
  }
  return bytes;
}

absl::Status ReserveMore(ByteBudget::Reservation* memory, int64_t bytes) {
  if (memory == nullptr) return absl::OkStatus();
  const int64_t all = memory->bytes() + bytes;
  if (memory->Resize(all)) return absl::OkStatus();
  return OutOfRequestMemory(all, *memory->budget());
}

absl::Status OutOfRequestMemory(int64_t bytes, const ByteBudget& budget) {
  if (bytes > budget.limit()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the request takes ", bytes,
                     " bytes of memory, this server allows all requests "
                     "together ",
                     budget.limit(), "; send less in one request"));
  }
  return WithRetryAfter(absl::ResourceExhaustedError(absl::StrCat(
                            "the request takes ", bytes,
                            " bytes of memory, but other requests "
                            "have ",
                            budget.used(), " of the ", budget.limit(),
                            " bytes that this server allows")),
                        kRetryAfter);
}

}  // namespace rwkvd
