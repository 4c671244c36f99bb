// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/random_tensors.h"

#include <cmath>
#include <utility>

namespace rwkvd::testing {

void RandomTensors::Normal(const std::string& name, std::vector<int64_t> shape,
                           float mean, float deviation) {
  TestTensor tensor{.shape = std::move(shape), .dtype = dtype_(name)};
  int64_t size = 1;
  for (int64_t dimension : tensor.shape) size *= dimension;
  std::normal_distribution<float> normal(mean, deviation);
  for (int64_t i = 0; i < size; ++i) {
    tensor.values.push_back(Rounded(normal(random_), tensor.dtype));
  }
  tensors_->emplace(name, std::move(tensor));
}

void RandomTensors::LayerNorm(const std::string& name, int64_t size) {
  Normal(name + ".weight", {size}, 1.0f, 0.2f);
  Normal(name + ".bias", {size}, 0.0f, 0.1f);
}

void RandomTensors::Matrix(const std::string& name, int64_t rows,
                           int64_t cols) {
  Normal(name, {rows, cols}, 0.0f, 1.5f / std::sqrt(float(cols)));
}

void RandomTensors::InOutMatrix(const std::string& name, int64_t in,
                                int64_t out) {
  Normal(name, {in, out}, 0.0f, 1.5f / std::sqrt(float(in)));
}

}  // namespace rwkvd::testing
