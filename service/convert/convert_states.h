// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_CONVERT_STATES_H_
#define RWKVD_SERVICE_CONVERT_CONVERT_STATES_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/engine/request.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/states/saved_states.h"

namespace rwkvd {

// Bytes of a state in one message: well below what clients accept by default
// (4 MiB).
inline constexpr size_t kStateChunkBytes = size_t{1} << 20;

// How long to keep something: in (0, a year]. InvalidArgument names the field.
absl::StatusOr<absl::Duration> ReadTimeToLive(absl::string_view field,
                                              double seconds);

// What becomes of the state of each sample of a request. A value.
struct StateDelivery {
  bool as_handle = false;
  absl::Duration time_to_live;  // 0: the default
};

// What a request says of states: where it goes on from, opened, and what is
// wanted of its own, into `request`. Errors as of SavedStates::Open, or
// FailedPrecondition or InvalidArgument; they name the field.
absl::StatusOr<StateDelivery> ReadStates(
    const ::rwkv::v1::GenerateRequest& proto, SavedStates& states,
    GenerateRequest* request);

void ToProto(const KeptState& kept, absl::Time now,
             ::rwkv::v1::StateInfo* proto);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_CONVERT_STATES_H_
