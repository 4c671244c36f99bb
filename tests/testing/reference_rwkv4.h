// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_REFERENCE_RWKV4_H_
#define RWKVD_TESTS_TESTING_REFERENCE_RWKV4_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd::testing {

// The logits after every token of a text, from nothing but the equations of
// the paper (arXiv 2305.13048, section 3.1 and appendix): in double precision,
// for the whole text at once, with the attention-like sum over all earlier
// tokens written out. Slow (quadratic), plain, and without a line in common
// with the code under test. Result: [tokens.size()][vocab].
std::vector<std::vector<double>> ReferenceRwkv4(
    const TestTensors& tensors, absl::Span<const int32_t> tokens);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_REFERENCE_RWKV4_H_
