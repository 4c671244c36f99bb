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
#include "service/options/initial_state_options.h"

namespace rwkvd {

// Loads the initial states: the model's own, named kOwnStateName, and those of
// the flag --initial_state. Each of their files is a state-tuned checkpoint or
// a state file, which its content shows. The first state that is returned is
// the default, --default_initial_state. `fingerprint` is that of the model's
// weights. Returns the errors of the files, with the name of the state and the
// path.
absl::StatusOr<std::vector<NamedState>> LoadInitialStates(
    const InitialStateOptions& options, const Model& model,
    const std::string& fingerprint);

// The index of the state with this name; 0 if `name` is empty. InvalidArgument,
// with the names that exist, if there is none.
absl::StatusOr<int32_t> FindInitialState(absl::Span<const NamedState> states,
                                         absl::string_view name);

// The identity of `model`, which its saved states carry.
ModelIdentity IdentityOf(const Model& model, const std::string& fingerprint);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_INITIAL_STATES_H_
