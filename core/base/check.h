// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_CHECK_H_
#define RWKVD_CORE_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>

// Aborts the process if `condition` is false, in every build mode. It guards
// against programming errors only: invalid input from disk or network is
// reported with an absl::Status.
#define RWKVD_CHECK(condition)                                              \
  do {                                                                      \
    if (!(condition)) [[unlikely]] {                                        \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, \
                   #condition);                                             \
      std::abort();                                                         \
    }                                                                       \
  } while (false)

#endif  // RWKVD_CORE_BASE_CHECK_H_
