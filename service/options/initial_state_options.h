// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPTIONS_INITIAL_STATE_OPTIONS_H_
#define RWKVD_SERVICE_OPTIONS_INITIAL_STATE_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/engine/named_state.h"

namespace rwkvd {

// An initial state that requests can choose: the flag
// --initial_state=NAME=PATH.
struct NamedPath {
  std::string name;
  std::string path;
};

// The states that requests can start from. A value.
struct InitialStateOptions {
  std::vector<NamedPath> initial_states;  // names are unique
  std::string default_initial_state = kOwnStateName;
};

// Sets all fields to the values of their flags. InvalidArgument with the flag,
// its value and the values that are allowed.
absl::Status ReadInitialStateFlags(InitialStateOptions* options);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPTIONS_INITIAL_STATE_OPTIONS_H_
