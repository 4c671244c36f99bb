// SPDX-License-Identifier: Apache-2.0
#include "core/model/weight_reader.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace rwkvd {
namespace {

std::string Misshapen(const Tensor& tensor, absl::string_view expected) {
  return absl::StrCat("\"", tensor.name, "\" expected ", expected, ", got ",
                      ShapeString(tensor.shape));
}

bool IsVector(const Tensor& tensor, int64_t size) {
  return tensor.num_elements() == size &&
         std::count_if(tensor.shape.begin(), tensor.shape.end(),
                       [](int64_t dimension) { return dimension != 1; }) <= 1;
}

}  // namespace

const Tensor* WeightReader::Find(absl::string_view name) {
  const Tensor* tensor = file_.Find(name);
  if (tensor == nullptr) {
    problems_.push_back(absl::StrCat("\"", name, "\" is missing"));
  }
  return tensor;
}

Matrix WeightReader::TakeMatrix(absl::string_view name, int64_t rows,
                                int64_t cols) {
  const Tensor* tensor = Find(name);
  if (tensor == nullptr) return {};
  if (tensor->shape != std::vector<int64_t>{rows, cols}) {
    problems_.push_back(
        Misshapen(*tensor, absl::StrCat("[", rows, ", ", cols, "]")));
    return {};
  }
  return {tensor->dtype, rows, cols, tensor->data.data()};
}

Vector WeightReader::TakeVector(absl::string_view name, int64_t size) {
  const Tensor* tensor = Find(name);
  if (tensor == nullptr) return {};
  if (!IsVector(*tensor, size)) {
    problems_.push_back(Misshapen(*tensor, absl::StrCat("[", size, "]")));
    return {};
  }
  return ToFloat(*tensor);
}

absl::Status WeightReader::status() const {
  if (problems_.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      file_.path(), ": ", problems_.size(),
      " tensors are missing or misshapen: ", absl::StrJoin(problems_, "; ")));
}

}  // namespace rwkvd
