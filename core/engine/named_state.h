// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_NAMED_STATE_H_
#define RWKVD_CORE_ENGINE_NAMED_STATE_H_

#include <string>

#include "absl/strings/string_view.h"
#include "core/model/state.h"

namespace rwkvd {

// The name of Model::NewState() among the initial states.
inline constexpr char kOwnStateName[] = "model";

// The rule for the names of states, initial or pinned.
inline constexpr char kStateNameRule[] =
    "1 to 64 letters, digits, \".\", \"_\" and \"-\"";
bool IsStateName(absl::string_view name);

// An initial state, with the name by which requests choose it. A value.
struct NamedState {
  std::string name;
  State state;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_NAMED_STATE_H_
