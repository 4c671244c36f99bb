// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_PROCESS_MEMORY_H_
#define RWKVD_TESTS_TESTING_PROCESS_MEMORY_H_

#include <cstdint>

#include "absl/functional/function_ref.h"

namespace rwkvd::testing {

// This process's resident set, in bytes: all of it, and the pages of mapped
// files in it.
int64_t ResidentBytes();
int64_t ResidentFileBytes();

// How far the resident set of a process of its own grows at most while it runs
// `work`. Only where there is one thread.
int64_t PeakBytes(absl::FunctionRef<void()> work);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_PROCESS_MEMORY_H_
