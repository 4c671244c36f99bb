// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_NAMED_STATE_H_
#define RWKVD_CORE_ENGINE_NAMED_STATE_H_

#include <string>

#include "core/model/state.h"

namespace rwkvd {

// What Model::NewState() is called among the states to start from.
inline constexpr char kOwnStateName[] = "model";

// A state that sequences may start from, and what requests call it. A value.
struct NamedState {
  std::string name;
  State state;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_NAMED_STATE_H_
