// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_REFERENCE_RWKV4_H_
#define RWKVD_TESTS_TESTING_REFERENCE_RWKV4_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd::testing {

// The logits of RWKV-4 after every token of a text, [tokens.size()][vocab],
// computed by the equations of the paper (arXiv 2305.13048, section 3.1 and
// appendix) in double precision. Computes the sum over all earlier tokens
// explicitly, in quadratic time, and shares no code with the code under test.
std::vector<std::vector<double>> ReferenceRwkv4(
    const TestTensors& tensors, absl::Span<const int32_t> tokens);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_REFERENCE_RWKV4_H_
