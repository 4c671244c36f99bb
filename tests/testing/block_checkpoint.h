// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_BLOCK_CHECKPOINT_H_
#define RWKVD_TESTS_TESTING_BLOCK_CHECKPOINT_H_

#include "core/base/dtype.h"
#include "tests/testing/test_tensor.h"

namespace rwkvd::testing {

// `tensors` with its large matrices as blocks of Q8_0, Q5_0 or Q4_0, in the
// form of a native checkpoint (core/checkpoint/stored_blocks.h).
TestTensors WithBlocks(const TestTensors& tensors, DType type);

// The numbers that the blocks stand for, as input of the reference.
TestTensors ValuesOfBlocks(const TestTensors& stored, DType type);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_BLOCK_CHECKPOINT_H_
