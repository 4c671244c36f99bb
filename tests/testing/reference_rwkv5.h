// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_REFERENCE_RWKV5_H_
#define RWKVD_TESTS_TESTING_REFERENCE_RWKV5_H_

#include <cstdint>

#include "absl/types/span.h"
#include "tests/testing/reference_math.h"

namespace rwkvd::testing {

// The logits of RWKV-5.2, "Eagle", by the equations of arXiv 2404.05892,
// section 4.1, for the whole text at once; and of its predecessors, which have
// one decay and one bonus for each head, not for each channel (5.1), and no
// gate (5.0). A bonus called time_first is a logarithm; one called time_faaaa
// is not. Slow, simple, and shares no code with the code under test.
Logits ReferenceRwkv5(const TestTensors& tensors,
                      absl::Span<const int32_t> tokens,
                      const ReferenceOptions& options = {});

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_REFERENCE_RWKV5_H_
