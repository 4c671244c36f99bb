// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_RANDOM_TENSORS_H_
#define RWKVD_TESTS_TESTING_RANDOM_TENSORS_H_

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/base/dtype.h"
#include "tests/testing/test_tensor.h"

namespace rwkvd::testing {

// Adds random tensors to `tensors`, all from one sequence of random numbers. A
// tensor's values are rounded to the type that `dtype` returns for its name.
// `dtype` and `tensors` must outlive it.
class RandomTensors {
 public:
  RandomTensors(uint64_t seed,
                absl::FunctionRef<DType(const std::string&)> dtype,
                TestTensors* tensors)
      : random_(seed), dtype_(dtype), tensors_(tensors) {}

  // Values of a normal distribution.
  void Normal(const std::string& name, std::vector<int64_t> shape, float mean,
              float deviation);

  // Weight and bias of a LayerNorm.
  void LayerNorm(const std::string& name, int64_t size);

  // Matrices whose product with an input has the magnitude of the input.
  // Matrix, [rows, cols], is multiplied with a column of `cols` values;
  // InOutMatrix, [in, out], with a row of `in` values.
  void Matrix(const std::string& name, int64_t rows, int64_t cols);
  void InOutMatrix(const std::string& name, int64_t in, int64_t out);

 private:
  std::mt19937_64 random_;
  absl::FunctionRef<DType(const std::string&)> dtype_;
  TestTensors* tensors_;
};

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_RANDOM_TENSORS_H_
