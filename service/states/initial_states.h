// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_INITIAL_STATES_H_
#define RWKVD_SERVICE_STATES_INITIAL_STATES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/engine/named_state.h"
#include "core/model/model.h"
#include "core/model/state_file.h"
#include "service/options.h"

namespace rwkvd {

// What requests may start from: the model's own state, as kOwnStateName, and
// what the files hold that --initial_state names: each a state-tuned checkpoint
// or a state file, told apart by its content. The first is the one that
// requests start from if they choose none: --default_initial_state.
// `fingerprint` is that of the model's weights. Errors say which state and
// file, and are those of the files.
absl::StatusOr<std::vector<NamedState>> LoadInitialStates(
    const Options& options, const Model& model, const std::string& fingerprint);

// The index of the state that a request asks for; 0 if it asks for none.
// InvalidArgument if none has that name; it lists those there are.
absl::StatusOr<int32_t> FindInitialState(absl::Span<const NamedState> states,
                                         absl::string_view name);

// Whose a state of `model` is.
ModelIdentity IdentityOf(const Model& model, const std::string& fingerprint);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_INITIAL_STATES_H_
