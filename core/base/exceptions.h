// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_EXCEPTIONS_H_
#define RWKVD_CORE_BASE_EXCEPTIONS_H_

#include <type_traits>
#include <utility>

#include "absl/status/status.h"

namespace rwkvd {

// Our code throws nothing, but the standard library throws if there is no
// memory or no thread left. docs/adr/0021-where-exceptions-end.md lists the few
// functions that convert such an exception to a status.

// The status of the exception that is being handled, so only for catch blocks:
//  - std::bad_alloc, std::length_error: ResourceExhausted, "out of memory";
//  - std::system_error: ResourceExhausted, with the reason of the operating
//    system;
//  - any other: Internal.
absl::Status StatusOfException();

// Returns function(), an absl::Status or absl::StatusOr, or the status of the
// exception that it has thrown.
template <typename Function>
std::invoke_result_t<Function> CatchExceptions(Function&& function) {
  try {
    return std::forward<Function>(function)();
  } catch (...) {
    return StatusOfException();
  }
}

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_EXCEPTIONS_H_
