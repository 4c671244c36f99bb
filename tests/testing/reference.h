// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_REFERENCE_H_
#define RWKVD_TESTS_TESTING_REFERENCE_H_

#include <cstdint>

#include "absl/types/span.h"
#include "core/model/config.h"
#include "tests/testing/reference_math.h"
#include "tests/testing/test_tensor.h"

namespace rwkvd::testing {

// The logits after every token of a text, [tokens.size()][vocab], computed by
// the equations of the papers in double precision. `tensors` are in the native
// layout.
Logits Reference(Architecture architecture, const TestTensors& tensors,
                 absl::Span<const int32_t> tokens,
                 const ReferenceOptions& options = {});

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_REFERENCE_H_
