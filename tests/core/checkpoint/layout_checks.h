// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_CORE_CHECKPOINT_LAYOUT_CHECKS_H_
#define RWKVD_TESTS_CORE_CHECKPOINT_LAYOUT_CHECKS_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/checkpoint/tensor.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd::testing {

// The tensors of the safetensors file at `path`, which stays mapped until the
// process ends.
std::vector<Tensor> ReadTensors(const std::string& path);

// Checks that names, elements and shapes, except for dimensions of 1, are
// equal.
void ExpectTensors(absl::Span<const Tensor> got, const TestTensors& expected);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_CORE_CHECKPOINT_LAYOUT_CHECKS_H_
