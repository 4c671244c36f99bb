// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_REFERENCE_RWKV7_H_
#define RWKVD_TESTS_TESTING_REFERENCE_RWKV7_H_

#include <cstdint>

#include "absl/types/span.h"
#include "tests/testing/reference_math.h"

namespace rwkvd::testing {

// "Goose", from the equations of arXiv 2503.14456, section 4, for the whole
// text at once: the state of a head moves by whole matrices, as there. Slow,
// plain, and without a line in common with the code under test.
Logits ReferenceRwkv7(const TestTensors& tensors,
                      absl::Span<const int32_t> tokens,
                      const ReferenceOptions& options = {});

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_REFERENCE_RWKV7_H_
