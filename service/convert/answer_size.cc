// SPDX-License-Identifier: Apache-2.0
#include "service/convert/answer_size.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "service/memory_budgets.h"

namespace rwkvd {
namespace {

// Sizes on the wire: of a listed token, with its id and log-probability; and of
// a token of the prompt without such a list. Ids have three bytes or more in
// large vocabularies, so that real responses are not smaller by much.
constexpr double kListedTokenBytes = 15;
constexpr double kPromptTokenBytes = 15;
// The bytes and text of a token, of which most have more than one byte.
constexpr double kTextBytes = 6;

// Counts are converted to double, in which their products cannot overflow.
absl::Status CheckSize(absl::string_view field, double bytes,
                       int64_t max_bytes) {
  if (bytes <= static_cast<double>(max_bytes)) return absl::OkStatus();
  return WithQuota(
      FieldError(ErrorReason::kResponseExceedsMemory, field,
                 absl::StrCat("the response could have ", std::llround(bytes),
                              " bytes, more than the ", max_bytes,
                              " that unread responses may have; request less "
                              "at a time")),
      kResponseMemoryQuota);
}

}  // namespace

absl::Status CheckAnswerSize(const GenerateInput& input, int64_t state_bytes,
                             int64_t max_bytes) {
  const GenerateRequest& request = input.request;
  const auto prompt = static_cast<double>(request.prompt.size());
  const double text = input.delivery.token_text ? kTextBytes : 0;
  const double listed_token = kListedTokenBytes + text;
  if (request.echo) {
    const double bytes = prompt * (kPromptTokenBytes + text +
                                   listed_token * request.echo_top_logprobs);
    const absl::Status status =
        CheckSize(request.echo_top_logprobs > 0 ? "echo_top_logprobs" : "echo",
                  bytes, max_bytes);
    if (!status.ok()) return status;
  }
  const double tokens = static_cast<double>(request.max_tokens) *
                        static_cast<double>(input.samples.generated);
  absl::Status status = CheckSize(
      "top_logprobs", tokens * listed_token * request.top_logprobs, max_bytes);
  if (!status.ok()) return status;
  status = CheckSize("top_drawn_logprobs",
                     tokens * listed_token * request.top_sampled_logprobs,
                     max_bytes);
  if (!status.ok()) return status;
  const bool sends_state =
      (request.snapshot_at_end || request.snapshot_on_drain) &&
      !input.delivery.state_as_handle;
  return sends_state ? CheckSize("return_state",
                                 static_cast<double>(state_bytes) + 4 * prompt,
                                 max_bytes)
                     : absl::OkStatus();
}

}  // namespace rwkvd
