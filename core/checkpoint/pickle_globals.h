// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_PICKLE_GLOBALS_H_
#define RWKVD_CORE_CHECKPOINT_PICKLE_GLOBALS_H_

#include "absl/strings/string_view.h"
#include "core/checkpoint/pickle_object.h"

namespace rwkvd {

// The globals that pickles of tensors name: dicts, tensors, parameters, sizes
// and storages of PyTorch. Nothing of them is ever run: what a call of them
// would build is built here.

// "module.name", which stays valid, if it is one of them; else "".
absl::string_view FindGlobal(absl::string_view module, absl::string_view name);

// Makes `result` what the call of the global `name` with the tuple `arguments`
// builds. False if PyTorch never calls it, or never like that. Time and memory
// are linear in the items of the result and of the arguments' own items.
bool CallGlobal(absl::string_view name, const PickleObject& arguments,
                PickleObject& result);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_PICKLE_GLOBALS_H_
