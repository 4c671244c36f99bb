// SPDX-License-Identifier: Apache-2.0
// The part of Engine that checks requests and reserves room for them.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/base/retry_after.h"
#include "core/base/status_macros.h"
#include "core/engine/engine.h"
#include "core/engine/validate.h"

namespace rwkvd {
namespace {

// The retry time if the release rate of slots is unknown, and its bounds.
constexpr absl::Duration kDefaultRetryAfter = absl::Seconds(1);
constexpr absl::Duration kMinRetryAfter = absl::Milliseconds(100);
constexpr absl::Duration kMaxRetryAfter = absl::Minutes(1);

// The part of the queue, and of the memory of requests, that is for flows
// without live requests.
constexpr int64_t kReserve = 8;

}  // namespace

absl::StatusOr<Engine::Reservation> Engine::Reserve(
    const GenerateRequest& request, int64_t num_samples) {
  RWKVD_CHECK(request.start == nullptr);
  RWKVD_RETURN_IF_ERROR(Check(request, num_samples));
  return ReserveSlots(CostOf(request, num_samples), /*continues=*/false);
}

absl::Status Engine::Check(const GenerateRequest& request,
                           int64_t num_samples) const {
  RWKVD_RETURN_IF_ERROR(
      Validate(request, options_, model_->config().vocab_size));
  if (!tokenizer_->has_bytes() && !request.stop_strings.empty()) {
    return FieldError(ErrorReason::kNoTokenizer, "stop_strings",
                      "this model has no tokenizer; use stop tokens");
  }
  RWKVD_RETURN_IF_ERROR(ValidateTokens(request.sampling, vocabulary_));
  RWKVD_RETURN_IF_ERROR(CheckInitialState(request.initial_state));
  RWKVD_RETURN_IF_ERROR(ValidateSamples("samples", num_samples, options_));
  if (!request.resume || num_samples == 1) return absl::OkStatus();
  return FieldError(
      "samples",
      absl::StrCat(num_samples, " samples of a resumed request, must be 1"));
}

absl::Status Engine::CheckInitialState(int32_t index) const {
  const auto size = static_cast<int32_t>(initial_states_.size());
  if (index >= 0 && index < size) return absl::OkStatus();
  return FieldError("initial_state",
                    absl::StrCat(index, " is not in [0, ", size, ")"));
}

Engine::RequestCost Engine::CostOf(const GenerateRequest& request,
                                   int64_t num_samples) const {
  return {num_samples, TokensOf(request),
          MemoryOf(request, vocabulary_.num_ids), &request.flow};
}

absl::Status Engine::CheckCost(const RequestCost& cost) const {
  constexpr absl::string_view field = "samples";
  const int64_t tokens = cost.num_samples * cost.tokens;
  const int64_t max_tokens = MaxRequestTokens(options_);
  if (tokens > max_tokens && cost.num_samples > 1) {
    return FieldError(
        ErrorReason::kRequestTooLarge, field,
        absl::StrCat(cost.num_samples, " samples of up to ", cost.tokens,
                     " tokens count for ", tokens,
                     " tokens, one request may count for at most ",
                     max_tokens));
  }
  const int64_t bytes = cost.num_samples * cost.bytes;
  const int64_t max_bytes = options_.max_request_bytes / 2;
  if (bytes <= max_bytes) return absl::OkStatus();
  const std::string problem = absl::StrCat(
      "takes up to ", bytes, " bytes of memory, one request may take at most ",
      max_bytes, " on this server");
  return cost.num_samples > 1
             ? FieldError(ErrorReason::kRequestTooLarge, field, problem)
             : MakeError(ErrorReason::kRequestTooLarge,
                         absl::StrCat("the request ", problem));
}

absl::Status Engine::CheckAccepting() {
  absl::MutexLock lock(&mutex_);
  return CheckRoom(1, /*continues=*/false);
}

absl::Status Engine::CheckRoom(int64_t num_samples, bool continues) {
  if (draining_) {
    counters_.rejected_draining.Add(1);
    return ServerShuttingDown();
  }
  const int64_t slots = int64_t{0} + options_.max_running + options_.max_queued;
  if (static_cast<int64_t>(live_.size()) + num_samples > slots && !continues) {
    counters_.rejected_queue_full.Add(1);
    return Exhausted(
        ErrorReason::kQueueFull, "max_queued",
        absl::StrCat("the queue is full: ", options_.max_running,
                     " requests run and ", options_.max_queued, " wait"));
  }
  return absl::OkStatus();
}

std::shared_ptr<FlowUse> Engine::UseOf(const Flow& flow) {
  if (flow.name.empty()) return nullptr;
  std::shared_ptr<FlowUse>& use = flows_[flow.name];
  if (use == nullptr) {
    use = std::make_shared<FlowUse>();
    use->bytes = std::make_shared<ByteBudget>(
        options_.max_request_bytes - options_.max_request_bytes / kReserve);
  }
  return use;
}

void Engine::AddToFlow(FlowUse* use, int64_t num_samples, int64_t tokens) {
  if (use == nullptr) return;
  use->num_live += num_samples;
  use->live_tokens += tokens;
  if (use->num_live > 0) return;
  absl::erase_if(flows_,
                 [use](const auto& flow) { return flow.second.get() == use; });
}

absl::Status Engine::CheckFlow(const Flow& flow, const FlowUse& use,
                               const RequestCost& cost) {
  const auto max_running =
      std::min(flow.max_running, int64_t{options_.max_running});
  const auto max_queued =
      std::min(flow.max_queued, int64_t{options_.max_queued});
  if (cost.num_samples > max_running + max_queued) {
    return FieldError(
        ErrorReason::kRequestTooLarge, "samples",
        absl::StrCat(cost.num_samples, " samples, but at most ", max_running,
                     " requests of this identity run and ", max_queued,
                     " wait"));
  }
  if (use.num_live + cost.num_samples > max_running + max_queued) {
    return Exhausted(
        ErrorReason::kQuotaExceeded, "max_queued",
        absl::StrCat("the queue of this identity is full: at most ",
                     max_running, " of its requests run and ", max_queued,
                     " wait"));
  }
  if (use.num_live == 0) return absl::OkStatus();
  const int64_t slots = int64_t{0} + options_.max_running + options_.max_queued;
  const int64_t all = static_cast<int64_t>(live_.size()) + cost.num_samples;
  if (all > slots - slots / kReserve) {
    counters_.rejected_queue_full.Add(1);
    return Exhausted(ErrorReason::kQueueFull, "max_queued",
                     "the queue is full but for the requests of those who "
                     "have none in it");
  }
  return use.live_tokens + cost.num_samples * cost.tokens <=
                 options_.max_total_tokens / 2
             ? absl::OkStatus()
             : Exhausted(ErrorReason::kTotalTokensExceeded, "max_total_tokens",
                         absl::StrCat("too many tokens: requests of this "
                                      "identity that run or wait count for ",
                                      use.live_tokens, " of at most ",
                                      options_.max_total_tokens / 2));
}

absl::StatusOr<Engine::Reservation> Engine::ReserveSlots(
    const RequestCost& cost, bool continues) {
  RWKVD_RETURN_IF_ERROR(CheckCost(cost));
  absl::MutexLock lock(&mutex_);
  RWKVD_RETURN_IF_ERROR(CheckRoom(cost.num_samples, continues));
  const std::shared_ptr<FlowUse> use = UseOf(*cost.flow);
  absl::StatusOr<Reservation> reservation = ReserveInFlow(cost, continues, use);
  if (!reservation.ok()) AddToFlow(use.get(), 0, 0);  // forgets a new flow
  return reservation;
}

absl::StatusOr<Engine::Reservation> Engine::ReserveInFlow(
    const RequestCost& cost, bool continues, std::shared_ptr<FlowUse> use) {
  const int64_t num_samples = cost.num_samples;
  const int64_t tokens = num_samples * cost.tokens;
  if (!continues && use != nullptr) {
    RWKVD_RETURN_IF_ERROR(CheckFlow(*cost.flow, *use, cost));
  }
  if (!continues) {
    RWKVD_RETURN_IF_ERROR(CheckTotalTokens(live_tokens_, tokens));
  }
  const int64_t size = num_samples * cost.bytes;
  auto bytes = memory_->requests.Reserve(
      size, use == nullptr ? nullptr : use->bytes.get());
  if (!bytes.has_value()) return OutOfMemory(size, 0, use.get());
  const RequestId first = last_id_ + 1;
  for (int64_t i = 0; i < num_samples; ++i) {
    live_.emplace(++last_id_, cost.tokens);
  }
  live_tokens_ += tokens;
  AddToFlow(use.get(), num_samples, tokens);
  return Reservation(this, first, num_samples, cost.tokens, *std::move(bytes),
                     std::move(use));
}

absl::Status Engine::Extend(Reservation* reservation, const RequestCost& cost) {
  RWKVD_RETURN_IF_ERROR(CheckCost(cost));
  absl::MutexLock lock(&mutex_);
  const int64_t others =
      live_tokens_ - reservation->num_samples_ * reservation->tokens_;
  const int64_t all = cost.num_samples * cost.tokens;
  RWKVD_RETURN_IF_ERROR(CheckTotalTokens(others, all));
  const int64_t bytes = cost.num_samples * cost.bytes;
  if (!reservation->bytes_.Resize(bytes)) {
    return OutOfMemory(bytes, reservation->bytes_.bytes(),
                       reservation->flow_use_.get());
  }
  for (int64_t i = 0; i < reservation->num_samples_; ++i) {
    live_[reservation->first_id_ + i] = cost.tokens;
  }
  live_tokens_ = others + all;
  if (reservation->flow_use_ != nullptr) {
    reservation->flow_use_->live_tokens +=
        all - reservation->num_samples_ * reservation->tokens_;
  }
  reservation->tokens_ = cost.tokens;
  return absl::OkStatus();
}

void Engine::Release(const Reservation& reservation) {
  absl::MutexLock lock(&mutex_);
  for (int64_t i = 0; i < reservation.num_samples_; ++i) {
    live_.erase(reservation.first_id_ + i);
  }
  const int64_t tokens = reservation.num_samples_ * reservation.tokens_;
  live_tokens_ -= tokens;
  AddToFlow(reservation.flow_use_.get(), -reservation.num_samples_, -tokens);
}

absl::Status Engine::CheckTotalTokens(int64_t others, int64_t tokens) {
  if (tokens <= options_.max_total_tokens - others) return absl::OkStatus();
  counters_.rejected_total_tokens.Add(1);
  return Exhausted(
      ErrorReason::kTotalTokensExceeded, "max_total_tokens",
      absl::StrCat("too many tokens: requests that run or wait count for ",
                   others, " of at most ", options_.max_total_tokens,
                   ", this one for ", tokens));
}

absl::Status Engine::OutOfMemory(int64_t bytes, int64_t held,
                                 const FlowUse* use) {
  counters_.rejected_memory.Add(1);
  const bool is_of_flow =
      use != nullptr && !use->bytes->HasRoomFor(bytes - held);
  const ByteBudget& scarce = is_of_flow ? *use->bytes : memory_->requests;
  return Exhausted(
      ErrorReason::kRequestMemoryExhausted, "request_memory",
      absl::StrCat("out of memory: requests ",
                   is_of_flow ? "of this identity " : "",
                   "that run or wait take ", scarce.used(), " of at most ",
                   scarce.limit(), " bytes, this one up to ", bytes));
}

absl::Status Engine::Exhausted(ErrorReason reason, absl::string_view quota,
                               absl::string_view why) const {
  // Half of a full queue is gone by then if no request arrives.
  const absl::Duration pause =
      slot_release_rate_.TimeFor(1 + options_.max_queued / 2)
          .value_or(kDefaultRetryAfter);
  return WithRetryAfter(WithQuota(MakeError(reason, why), quota),
                        std::clamp(pause, kMinRetryAfter, kMaxRetryAfter));
}

}  // namespace rwkvd
