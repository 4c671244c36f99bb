// SPDX-License-Identifier: Apache-2.0
// Reading a checkpoint returns the tensors that were written, in every format.

#include "tests/testing/checkpoint_formats.h"

#include <string>

#include "core/checkpoint/tensor_file.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/random_checkpoint.h"

namespace rwkvd::testing {
namespace {

class CheckpointFormatsTest
    : public ::testing::TestWithParam<VersionAndFormat> {};

TEST_P(CheckpointFormatsTest, TensorsHaveTheirNativeNames) {
  const auto [architecture, format] = GetParam();
  // F16, which every format supports.
  const TestTensors tensors = RandomCheckpoint(architecture, 1, DType::kF16);
  const auto file = TensorFile::Open(
      WriteCheckpointAs(MakeTempDirectory(), tensors, architecture, format));
  ASSERT_TRUE(file.ok()) << file.status();
  for (const auto& [name, tensor] : (*file)->tensors()) {
    const auto found = tensors.find(name);
    ASSERT_TRUE(found != tensors.end()) << name;
    // A format may add dimensions of 1, and may repeat a number of a head for
    // each of its channels.
    TestTensor expected = found->second, actual = CopyOf(tensor);
    if (actual.values.size() > expected.values.size()) continue;
    EXPECT_EQ(actual.values, expected.values) << name;
    EXPECT_EQ(actual.dtype, expected.dtype) << name;
    EXPECT_EQ(Squeezed(tensor).shape,
              Squeezed(Tensor{.shape = expected.shape}).shape)
        << name;
  }
  // All tensors are there except for the three that version 7 ignores.
  const size_t ignored = architecture == Architecture::kRwkv7 ? 3 : 0;
  EXPECT_GE((*file)->tensors().size() + ignored, tensors.size());
}

INSTANTIATE_TEST_SUITE_P(Formats, CheckpointFormatsTest,
                         ::testing::ValuesIn(AllVersionsAndFormats()),
                         [](const auto& info) { return TestName(info.param); });

}  // namespace
}  // namespace rwkvd::testing
