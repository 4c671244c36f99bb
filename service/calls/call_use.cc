// SPDX-License-Identifier: Apache-2.0
#include "service/calls/call_use.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"

namespace rwkvd {

void CallUse::AddRequest(const FinishEvent& event) {
  AddReason(event.reason);
  usage_.generated_tokens += event.usage.generated_tokens;
  if (!times_.has_value()) {
    usage_.prompt_tokens = event.usage.prompt_tokens;
    usage_.cached_tokens = event.usage.cached_tokens;
    times_ = event.times;
    return;
  }
  // Only one sample computes the prompt; the others get its state.
  usage_.cached_tokens =
      std::min(usage_.cached_tokens, event.usage.cached_tokens);
  const auto end = [](const Times& times) {
    return times.queue + times.prefill + times.decode;
  };
  const absl::Duration last_end = std::max(end(*times_), end(event.times));
  const absl::Duration first_token =
      std::min(times_->first_token, event.times.first_token);
  if (event.times.queue < times_->queue) times_ = event.times;
  times_->first_token = first_token;
  times_->decode = last_end - times_->queue - times_->prefill;
}

void CallUse::AddPart(const FinishEvent& event) {
  AddReason(event.reason);
  usage_.generated_tokens += event.usage.generated_tokens;
  if (!times_.has_value()) times_ = Times();
  times_->queue += event.times.queue;
  times_->prefill += event.times.prefill;
  times_->decode += event.times.decode;
}

void CallUse::AddReason(FinishReason reason) {
  if (std::find(reasons_.begin(), reasons_.end(), reason) == reasons_.end()) {
    reasons_.push_back(reason);
  }
}

std::string CallUse::ReasonNames() const {
  return absl::StrJoin(reasons_, ",",
                       [](std::string* out, FinishReason reason) {
                         absl::StrAppend(out, NameOf(reason));
                       });
}

}  // namespace rwkvd
