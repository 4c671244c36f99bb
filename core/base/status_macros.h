// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_STATUS_MACROS_H_
#define RWKVD_CORE_BASE_STATUS_MACROS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns the status of `expression` from the enclosing function unless it is
// OK.
#define RWKVD_RETURN_IF_ERROR(expression)          \
  do {                                             \
    absl::Status rwkvd_status_ = (expression);     \
    if (!rwkvd_status_.ok()) return rwkvd_status_; \
  } while (false)

// Assigns the value of the absl::StatusOr `expression` to `lhs`, which is a
// declaration or an lvalue. If there is no value, returns the status from the
// enclosing function.
#define RWKVD_ASSIGN_OR_RETURN(lhs, expression)                           \
  RWKVD_ASSIGN_OR_RETURN_(RWKVD_CONCAT_(rwkvd_status_or_, __LINE__), lhs, \
                          expression)

#define RWKVD_CONCAT_INNER_(a, b) a##b
#define RWKVD_CONCAT_(a, b) RWKVD_CONCAT_INNER_(a, b)
#define RWKVD_ASSIGN_OR_RETURN_(tmp, lhs, expression) \
  auto tmp = (expression);                            \
  if (!tmp.ok()) return tmp.status();                 \
  lhs = std::move(tmp).value()

#endif  // RWKVD_CORE_BASE_STATUS_MACROS_H_
