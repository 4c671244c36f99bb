// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_REFERENCE_RWKV7_H_
#define RWKVD_TESTS_TESTING_REFERENCE_RWKV7_H_

#include <cstdint>

#include "absl/types/span.h"
#include "tests/testing/reference_math.h"

namespace rwkvd::testing {

// The logits of RWKV-7, "Goose", by the equations of arXiv 2503.14456, section
// 4, for the whole text at once. As in the paper, the state of a head is
// multiplied by whole matrices. Slow, simple, and shares no code with the code
// under test.
Logits ReferenceRwkv7(const TestTensors& tensors,
                      absl::Span<const int32_t> tokens,
                      const ReferenceOptions& options = {});

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_REFERENCE_RWKV7_H_
