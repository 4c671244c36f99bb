// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_INITIAL_STATE_H_
#define RWKVD_TOOLS_RWKVCTL_INITIAL_STATE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// The source file that defines --initial_state, a flag of several commands.
inline constexpr absl::string_view kInitialStateFile =
    "tools/rwkvctl/initial_state.cc";

// The value of --initial_state.
std::string InitialState();

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_INITIAL_STATE_H_
