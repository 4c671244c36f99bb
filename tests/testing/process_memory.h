// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_PROCESS_MEMORY_H_
#define RWKVD_TESTS_TESTING_PROCESS_MEMORY_H_

#include <cstdint>

#include "absl/functional/function_ref.h"

namespace rwkvd::testing {

// The resident set of this process in bytes: all of it, and the part of mapped
// files.
int64_t ResidentBytes();
int64_t ResidentFileBytes();

// The bytes that this process has allocated, with what glibc's allocator adds
// to each block. 0 with another allocator, such as that of a sanitizer.
int64_t AllocatedBytes();

// The maximum number of bytes by which the resident set of a child process
// grows while it runs `work`. Only for processes with a single thread.
int64_t PeakBytes(absl::FunctionRef<void()> work);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_PROCESS_MEMORY_H_
