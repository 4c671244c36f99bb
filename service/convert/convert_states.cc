// SPDX-License-Identifier: Apache-2.0
#include "service/convert/convert_states.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/engine/retry_after.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

// A year.
constexpr int64_t kMaxTimeToLiveSeconds = 365 * 24 * 3600;

absl::Status Conflict(absl::string_view field, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", why));
}

// The same, with the field's name before its message.
absl::Status InField(absl::string_view field, const absl::Status& status) {
  const absl::Status named(status.code(),
                           absl::StrCat(field, ": ", status.message()));
  const auto retry_after = RetryAfter(status);
  return retry_after.has_value() ? WithRetryAfter(named, *retry_after) : named;
}

absl::Status ReadStart(const v1::GenerateRequest& proto, SavedStates& states,
                       GenerateRequest* request) {
  request->resume = proto.resume();
  if (proto.state_handle().empty()) return absl::OkStatus();
  if (!proto.initial_state().empty()) {
    return Conflict("initial_state", "not beside a state_handle");
  }
  auto start = states.Open(proto.state_handle());
  if (!start.ok()) return InField("state_handle", start.status());
  request->start = *std::move(start);
  if (request->resume) request->sampling.seed = request->start->seed;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<absl::Duration> ReadTimeToLive(absl::string_view field,
                                              double seconds) {
  if (seconds > 0 && seconds <= kMaxTimeToLiveSeconds) {
    return absl::Seconds(seconds);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      field, ": ", seconds, " is not in (0, ", kMaxTimeToLiveSeconds, "]"));
}

absl::StatusOr<StateDelivery> ReadStates(const v1::GenerateRequest& proto,
                                         SavedStates& states,
                                         GenerateRequest* request) {
  RWKVD_RETURN_IF_ERROR(ReadStart(proto, states, request));
  const v1::ReturnState& wanted = proto.return_state();
  StateDelivery delivery;
  delivery.as_handle = wanted.as_handle();
  if (wanted.has_ttl_seconds()) {
    RWKVD_ASSIGN_OR_RETURN(
        delivery.time_to_live,
        ReadTimeToLive("return_state.ttl_seconds", wanted.ttl_seconds()));
  }
  request->snapshot_at_end = wanted.at_end();
  request->snapshot_on_drain = wanted.on_drain();
  if (!wanted.on_drain()) return delivery;
  if (proto.best_of() > (proto.has_n() ? proto.n() : 1)) {
    return Conflict("return_state.on_drain",
                    "what is the best of cannot be resumed");
  }
  if (wanted.as_handle() && !states.store().outlives_process()) {
    return absl::FailedPreconditionError(
        "return_state.on_drain: this server's handles end with it; ask for "
        "the state itself");
  }
  return delivery;
}

void ToProto(const KeptState& kept, absl::Time now, v1::StateInfo* proto) {
  proto->set_handle(kept.handle);
  proto->set_bytes(kept.bytes);
  proto->set_expires_in_seconds(absl::ToDoubleSeconds(kept.expires - now));
}

}  // namespace rwkvd
