// SPDX-License-Identifier: Apache-2.0
// Every format that a checkpoint can be found in is written so that reading it
// gives the same tensors.

#include "tests/testing/checkpoint_formats.h"

#include <algorithm>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "core/checkpoint/tensor_file.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/random_checkpoint.h"

namespace rwkvd::testing {
namespace {

using Case = std::tuple<Architecture, FileFormat>;

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const Architecture architecture :
       {Architecture::kRwkv4, Architecture::kRwkv50, Architecture::kRwkv51,
        Architecture::kRwkv52, Architecture::kRwkv6, Architecture::kRwkv7}) {
    for (const FileFormat format : AllFileFormats()) {
      if (HasFormat(architecture, format)) {
        cases.emplace_back(architecture, format);
      }
    }
  }
  return cases;
}

std::string Name(const ::testing::TestParamInfo<Case>& info) {
  std::string name = absl::StrCat(NameOf(std::get<0>(info.param)), "_",
                                  NameOf(std::get<1>(info.param)));
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

class CheckpointFormatsTest : public ::testing::TestWithParam<Case> {};

TEST_P(CheckpointFormatsTest, TensorsAreReadUnderTheirNativeNames) {
  const auto [architecture, format] = GetParam();
  // F16, which every format can hold.
  const TestTensors tensors = RandomCheckpoint(architecture, 1, DType::kF16);
  const auto file = TensorFile::Open(
      WriteCheckpointAs(MakeTempDirectory(), tensors, architecture, format));
  ASSERT_TRUE(file.ok()) << file.status();
  for (const auto& [name, tensor] : (*file)->tensors()) {
    const auto found = tensors.find(name);
    ASSERT_TRUE(found != tensors.end()) << name;
    // Dimensions of 1, and what stands once for all channels of a head, may
    // be written out.
    TestTensor expected = found->second, actual = CopyOf(tensor);
    if (actual.values.size() > expected.values.size()) continue;
    EXPECT_EQ(actual.values, expected.values) << name;
    EXPECT_EQ(actual.dtype, expected.dtype) << name;
    EXPECT_EQ(Squeezed(tensor).shape,
              Squeezed(Tensor{.shape = expected.shape}).shape)
        << name;
  }
  // All are there, but for the three that version 7 ignores.
  const size_t ignored = architecture == Architecture::kRwkv7 ? 3 : 0;
  EXPECT_GE((*file)->tensors().size() + ignored, tensors.size());
}

INSTANTIATE_TEST_SUITE_P(Formats, CheckpointFormatsTest,
                         ::testing::ValuesIn(Cases()), Name);

}  // namespace
}  // namespace rwkvd::testing
