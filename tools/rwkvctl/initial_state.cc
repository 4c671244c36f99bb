// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/initial_state.h"

#include "absl/flags/flag.h"

ABSL_FLAG(std::string, initial_state, "",
          "Name of the initial state to start from; \"rwkvctl model\" lists "
          "them. If empty, the server's default.");

namespace rwkvd {

std::string InitialState() { return absl::GetFlag(FLAGS_initial_state); }

}  // namespace rwkvd
