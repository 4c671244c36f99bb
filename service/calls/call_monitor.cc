// SPDX-License-Identifier: Apache-2.0
#include "service/calls/call_monitor.h"

#include <grpc/grpc.h>

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/grpc_status.h"
#include "core/base/error.h"
#include "core/base/monotonic_clock.h"
#include "core/base/retry_after.h"
#include "service/memory_budgets.h"

namespace rwkvd {
namespace {

// The thread looks for calls whose time is over this many times within the
// shortest timeout, and at least once a second.
constexpr int kTicksPerTimeout = 8;
constexpr absl::Duration kMinTick = absl::Milliseconds(5);
constexpr absl::Duration kMaxTick = absl::Seconds(1);

// The pause between two attempts of WaitAndCharge.
constexpr absl::Duration kRetryPause = absl::Milliseconds(10);

// When a client should retry if responses take too much memory.
constexpr absl::Duration kRetryAfter = absl::Seconds(1);

// The most that a response may hold of a budget. The rest bridges the time
// until gRPC has freed what given-up calls held, so that other calls need not
// be given up meanwhile.
int64_t MaxResponseBytes(const ByteBudget& budget) {
  return budget.limit() - budget.limit() / 8;
}

// Whether responses would hold more than that with `bytes` more.
bool ExceedsResponses(const ByteBudget& budget, int64_t bytes) {
  return bytes > MaxResponseBytes(budget) - budget.used();
}

absl::Duration TickFor(const CallMonitor::Options& options) {
  const absl::Duration shortest = std::min(
      {options.unread_timeout, options.idle_timeout, options.reset_after});
  return std::clamp(shortest / kTicksPerTimeout, kMinTick, kMaxTick);
}

}  // namespace

CallMonitor::CallMonitor(const Options& options,
                         std::shared_ptr<ByteBudget> budget, Metrics* metrics)
    : options_(options),
      tick_(TickFor(options)),
      budget_(std::move(budget)),
      metrics_(metrics),
      thread_([this] { Run(); }) {}

CallMonitor::~CallMonitor() {
  stop_.Notify();
  thread_.join();
}

int64_t CallMonitor::Now() { return absl::ToUnixNanos(MonotonicNow()); }

absl::Duration CallMonitor::WaitOf(const MonitoredCall& call) {
  const int64_t since = call.waits_since_.load(std::memory_order_acquire);
  return since == 0 ? absl::ZeroDuration() : absl::Nanoseconds(Now() - since);
}

void CallMonitor::Add(MonitoredCall* call) {
  absl::MutexLock lock(&mutex_);
  calls_.insert(call);
}

void CallMonitor::Remove(MonitoredCall* call) {
  absl::MutexLock lock(&mutex_);
  calls_.erase(call);
}

std::optional<ResponseCharge> CallMonitor::Charge(MonitoredCall* call,
                                                  int64_t bytes) {
  while (call->stage_ == MonitoredCall::Stage::kOpen) {
    std::optional<ResponseCharge> charge =
        ResponseCharge::Take(call->account_, bytes);
    const int64_t missing = charge.has_value() ? 0 : bytes;
    const ByteBudget* const scarce = ScarceFor(*call, missing);
    if (scarce == nullptr) {
      if (charge.has_value()) return charge;
      continue;  // other calls have returned bytes meanwhile
    }
    const Action victim =
        NextVictim(call, missing, scarce, absl::ZeroDuration());
    if (victim.call != nullptr) Perform(victim);
    if (charge.has_value() || victim.call == nullptr) return charge;
  }
  return std::nullopt;
}

std::optional<ResponseCharge> CallMonitor::TryCharge(MonitoredCall* call,
                                                     int64_t bytes) {
  for (const ByteBudget* const budget :
       {call->account_->share(), &call->account_->budget()}) {
    if (budget == nullptr || budget->used() == 0) continue;
    if (ExceedsResponses(*budget, bytes)) return std::nullopt;
  }
  return ResponseCharge::Take(call->account_, bytes);
}

const ByteBudget* CallMonitor::ScarceFor(const MonitoredCall& call,
                                         int64_t bytes) const {
  const ByteBudget* const share = call.account_->share();
  if (share != nullptr && ExceedsResponses(*share, bytes)) return share;
  return ExceedsResponses(*budget_, bytes) ? budget_.get() : nullptr;
}

void CallMonitor::MakeRoom(const MonitoredCall& call, int64_t bytes) {
  const ByteBudget* const scarce = ScarceFor(call, bytes);
  if (scarce == nullptr || bytes > MaxResponseBytes(*scarce)) return;
  const Action victim = NextVictim(nullptr, 0, scarce, options_.room_after);
  if (victim.call != nullptr) Perform(victim);
}

absl::Status CallMonitor::OutOfMemory(const MonitoredCall& call,
                                      int64_t bytes) const {
  const ByteBudget* const scarce = ScarceFor(call, bytes);
  if (scarce == nullptr || scarce == budget_.get()) {
    return WithRetryAfter(
        WithQuota(MakeError(ErrorReason::kResponseMemoryExhausted,
                            absl::StrCat("the answer may take ", bytes,
                                         " bytes, and responses that clients "
                                         "have not read leave too little of "
                                         "the server's memory for them")),
                  kResponseMemoryQuota),
        kRetryAfter);
  }
  const std::string problem = absl::StrCat(
      "the answer may take ", bytes, " bytes, and this identity's ",
      kUnreadBytesQuota, "=", scarce->limit());
  if (bytes > scarce->limit()) {
    return WithQuota(MakeError(ErrorReason::kResponseExceedsMemory,
                               absl::StrCat(problem, " does not allow it")),
                     kUnreadBytesQuota);
  }
  return WithRetryAfter(
      WithQuota(MakeError(ErrorReason::kQuotaExceeded,
                          absl::StrCat(problem, " has ", scarce->used(),
                                       " in use: read the other responses")),
                kUnreadBytesQuota),
      kRetryAfter);
}

std::optional<ResponseCharge> CallMonitor::WaitAndCharge(
    MonitoredCall* call, int64_t bytes,
    absl::FunctionRef<bool()> is_abandoned) {
  while (bytes <= max_response_bytes(*call) && !is_abandoned()) {
    std::optional<ResponseCharge> charge = TryCharge(call, bytes);
    if (charge.has_value()) return charge;
    absl::SleepFor(kRetryPause);
  }
  return std::nullopt;
}

int64_t CallMonitor::max_response_bytes(const MonitoredCall& call) const {
  const ByteBudget* const share = call.account_->share();
  const int64_t all = MaxResponseBytes(*budget_);
  return share == nullptr ? all : std::min(all, MaxResponseBytes(*share));
}

absl::Status CallMonitor::NameQuota(const MonitoredCall& call,
                                    absl::Status status) const {
  const bool is_of_share =
      max_response_bytes(call) < MaxResponseBytes(*budget_) &&
      ReasonOf(status) == ErrorReason::kResponseExceedsMemory;
  return is_of_share ? WithQuota(std::move(status), kUnreadBytesQuota) : status;
}

void CallMonitor::NoteGivenUp(MonitoredCall* call, GiveUpReason reason) {
  absl::MutexLock lock(&mutex_);
  if (call->stage_ != MonitoredCall::Stage::kOpen) return;
  call->reason_ = reason;
  call->given_up_at_ = Now();
  call->stage_ = MonitoredCall::Stage::kGivenUp;
  call->is_counted_ = true;
  metrics_->CallGivenUp(reason);
}

void CallMonitor::GiveUp(MonitoredCall* call, GiveUpReason reason) {
  Action action;
  {
    absl::MutexLock lock(&mutex_);
    if (!calls_.contains(call)) return;
    if (call->stage_ != MonitoredCall::Stage::kOpen) return;
    action = Advance(call, reason);
  }
  Perform(action);
}

void CallMonitor::GiveUpAll() {
  std::vector<Action> actions;
  {
    absl::MutexLock lock(&mutex_);
    for (MonitoredCall* const call : calls_) {
      if (call->stage_ == MonitoredCall::Stage::kReset) continue;
      actions.push_back(Advance(call, GiveUpReason::kShutdown));
    }
  }
  for (const Action& action : actions) Perform(action);
}

bool CallMonitor::HasCalls() {
  absl::MutexLock lock(&mutex_);
  return !calls_.empty();
}

bool CallMonitor::HasReaders() {
  absl::MutexLock lock(&mutex_);
  return absl::c_any_of(calls_, [](const MonitoredCall* call) {
    return call->stage_ == MonitoredCall::Stage::kOpen &&
           call->waits_to_read_ && call->waits_since_ != 0;
  });
}

CallMonitor::Action CallMonitor::NextVictim(const MonitoredCall* requesting,
                                            int64_t bytes,
                                            const ByteBudget* scarce,
                                            absl::Duration min_wait) {
  absl::MutexLock lock(&mutex_);
  const auto held_by = [&](const MonitoredCall& call) {
    return call.account_->bytes() + (&call == requesting ? bytes : 0);
  };
  std::vector<MonitoredCall*> candidates;
  absl::flat_hash_map<const ByteBudget*, int64_t> held_by_share;
  for (MonitoredCall* const call : calls_) {
    const ByteBudget* const share = call->account_->share();
    if (scarce != budget_.get() && scarce != share) continue;
    if (call->stage_ == MonitoredCall::Stage::kReset) continue;
    if (WaitOf(*call) < min_wait || held_by(*call) == 0) continue;
    candidates.push_back(call);
    if (share != nullptr) held_by_share[share] += held_by(*call);
  }
  MonitoredCall* victim = nullptr;
  std::pair<int64_t, int64_t> most;  // of an identity, of the call
  for (MonitoredCall* const call : candidates) {
    const int64_t held = held_by(*call);
    const ByteBudget* const share = call->account_->share();
    const std::pair<int64_t, int64_t> key = {
        share == nullptr ? held : held_by_share[share], held};
    if (victim != nullptr && key <= most) continue;
    victim = call;
    most = key;
  }
  if (victim == nullptr) return {};
  const GiveUpReason reason =
      scarce == budget_.get() ? GiveUpReason::kMemory : GiveUpReason::kQuota;
  return Advance(victim, victim->stage_ == MonitoredCall::Stage::kOpen
                             ? reason
                             : victim->reason_.load());
}

CallMonitor::Action CallMonitor::Advance(MonitoredCall* call,
                                         GiveUpReason reason) {
  Action action;
  action.call = call;
  action.why = StatusFor(reason, *call);
  call->Ref();
  if (call->stage_ == MonitoredCall::Stage::kOpen) {
    call->reason_ = reason;
    call->given_up_at_ = Now();
    call->stage_ = MonitoredCall::Stage::kGivenUp;
  } else {
    call->stage_ = MonitoredCall::Stage::kReset;
    // gRPC's call exists: OnDone has not returned, since it removes the call
    // from calls_ first.
    action.reset = call->call_context_->c_call();
    grpc_call_ref(action.reset);
  }
  return action;
}

absl::Status CallMonitor::StatusFor(GiveUpReason reason,
                                    const MonitoredCall& call) const {
  switch (reason) {
    case GiveUpReason::kMemory:
      return MakeError(
          ErrorReason::kClientTooSlow,
          absl::StrCat(
              "responses that clients have not read take the ",
              budget_->limit(),
              " bytes that the server has for them, and this call holds most: ",
              call.account_->bytes(),
              "; read faster, or request less at a time"));
    case GiveUpReason::kQuota:
      return WithRetryAfter(
          WithQuota(
              MakeError(
                  ErrorReason::kQuotaExceeded,
                  absl::StrCat(
                      "responses that clients of this identity have "
                      "not read take its ",
                      kUnreadBytesQuota, "=", call.account_->share()->limit(),
                      ", and this call holds most: ", call.account_->bytes(),
                      "; read faster, or request less at a time")),
              kUnreadBytesQuota),
          kRetryAfter);
    case GiveUpReason::kUnread:
      return MakeError(
          ErrorReason::kClientTooSlow,
          absl::StrCat("the client reads too slowly: it has not read the next "
                       "message within ",
                       absl::FormatDuration(options_.unread_timeout),
                       " (--unread_timeout)"));
    case GiveUpReason::kIdle:
      return MakeError(
          ErrorReason::kClientIdle,
          absl::StrCat("the client has not sent the next message within ",
                       absl::FormatDuration(options_.idle_timeout),
                       " (--stream_idle_timeout)"));
    case GiveUpReason::kSlots:
      return MakeError(
          ErrorReason::kStreamSlotLost,
          "the client keeps this call waiting, and other calls need its slot");
    case GiveUpReason::kShutdown:
      return ServerShuttingDown();
  }
  return MakeError(ErrorReason::kInternalError, "");
}

void CallMonitor::Perform(const Action& action) {
  MonitoredCall* const call = action.call;
  if (action.reset != nullptr) {
    const grpc::Status why = ToGrpcStatus(action.why);
    grpc_call_cancel_with_status(
        action.reset, static_cast<grpc_status_code>(why.error_code()),
        why.error_message().c_str(), nullptr);
    grpc_call_unref(action.reset);
    if (!call->is_counted_.exchange(true)) metrics_->CallGivenUp(call->reason_);
  } else if (call->GiveUp(call->reason_, action.why)) {
    call->is_counted_ = true;
    metrics_->CallGivenUp(call->reason_);
  }
  call->Unref();
}

void CallMonitor::Run() {
  while (!stop_.WaitFor(tick_)) {
    for (const Action& action : TakeExpired()) Perform(action);
  }
}

std::vector<CallMonitor::Action> CallMonitor::TakeExpired() {
  std::vector<Action> actions;
  absl::MutexLock lock(&mutex_);
  for (MonitoredCall* const call : calls_) {
    const std::optional<GiveUpReason> reason = ExpiredFor(*call);
    if (reason.has_value()) actions.push_back(Advance(call, *reason));
  }
  return actions;
}

std::optional<GiveUpReason> CallMonitor::ExpiredFor(
    const MonitoredCall& call) const {
  if (call.stage_ == MonitoredCall::Stage::kReset) return std::nullopt;
  if (call.stage_ == MonitoredCall::Stage::kGivenUp) {
    const auto since = absl::Nanoseconds(Now() - call.given_up_at_);
    if (since < options_.reset_after) return std::nullopt;
    return call.reason_.load();
  }
  const absl::Duration wait = WaitOf(call);
  if (call.waits_to_read_) {
    if (wait < options_.unread_timeout) return std::nullopt;
    return GiveUpReason::kUnread;
  }
  if (wait < options_.idle_timeout) return std::nullopt;
  return GiveUpReason::kIdle;
}

}  // namespace rwkvd
