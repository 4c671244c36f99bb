// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_PICKLE_GLOBALS_H_
#define RWKVD_CORE_CHECKPOINT_PICKLE_GLOBALS_H_

#include "absl/strings/string_view.h"
#include "core/checkpoint/pickle_object.h"

namespace rwkvd {

// The globals that pickles of tensors contain: PyTorch's tensors, parameters,
// sizes and storages, and dicts. No Python code is ever run: the functions
// below construct the results of calls.

// "module.name", in static memory, if it is a supported global; otherwise "".
absl::string_view FindGlobal(absl::string_view module, absl::string_view name);

// Sets `result` to the result of calling the global `name` with the tuple
// `arguments`. Returns false if the call is not supported. Time and memory are
// linear in the items of the result and of the arguments.
bool CallGlobal(absl::string_view name, const PickleObject& arguments,
                PickleObject& result);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_PICKLE_GLOBALS_H_
