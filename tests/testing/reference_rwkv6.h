// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_REFERENCE_RWKV6_H_
#define RWKVD_TESTS_TESTING_REFERENCE_RWKV6_H_

#include <cstdint>

#include "absl/types/span.h"
#include "tests/testing/reference_math.h"

namespace rwkvd::testing {

// The logits of RWKV-6, "Finch", by the equations of arXiv 2404.05892, section
// 4.2, for the whole text at once. Slow, simple, and shares no code with the
// code under test.
Logits ReferenceRwkv6(const TestTensors& tensors,
                      absl::Span<const int32_t> tokens,
                      const ReferenceOptions& options = {});

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_REFERENCE_RWKV6_H_
