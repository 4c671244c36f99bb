// SPDX-License-Identifier: Apache-2.0
#include "tests/core/checkpoint/layout_checks.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "core/base/check.h"
#include "core/base/mapped_file.h"
#include "core/checkpoint/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd::testing {
namespace {

std::vector<int64_t> WithoutOnes(std::vector<int64_t> shape) {
  shape.erase(std::remove(shape.begin(), shape.end(), 1), shape.end());
  return shape;
}

}  // namespace

std::vector<Tensor> ReadTensors(const std::string& path) {
  auto file = MappedFile::Open(path);
  RWKVD_CHECK(file.ok());
  static auto* const kept = new std::vector<std::shared_ptr<const MappedFile>>;
  kept->push_back(*file);  // as the tensors view it
  auto tensors = ParseSafetensors(**file);
  RWKVD_CHECK(tensors.ok());
  return *std::move(tensors);
}

void ExpectTensors(absl::Span<const Tensor> got, const TestTensors& expected) {
  std::vector<std::string> names, expected_names;
  for (const Tensor& tensor : got) names.push_back(tensor.name);
  for (const auto& [name, tensor] : expected) expected_names.push_back(name);
  ASSERT_THAT(names, ::testing::UnorderedElementsAreArray(expected_names));
  for (const Tensor& tensor : got) {
    const TestTensor& same = expected.at(tensor.name);
    EXPECT_EQ(WithoutOnes(tensor.shape), WithoutOnes(same.shape))
        << tensor.name;
    EXPECT_EQ(tensor.dtype, same.dtype) << tensor.name;
    EXPECT_EQ(ToFloat(tensor), same.values) << tensor.name;
  }
}

}  // namespace rwkvd::testing
