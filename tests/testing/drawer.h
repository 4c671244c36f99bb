// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_DRAWER_H_
#define RWKVD_TESTS_TESTING_DRAWER_H_

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/base/dtype.h"
#include "tests/testing/test_tensor.h"

namespace rwkvd::testing {

// Draws tensors one after the other from one random sequence, rounded to the
// type that `dtype` gives by name. `dtype` and `tensors` outlive it.
class Drawer {
 public:
  Drawer(uint64_t seed, absl::FunctionRef<DType(const std::string&)> dtype,
         TestTensors* tensors)
      : random_(seed), dtype_(dtype), tensors_(tensors) {}

  void Normal(const std::string& name, std::vector<int64_t> shape, float mean,
              float deviation);

  // Weight and bias.
  void LayerNorm(const std::string& name, int64_t size);

  // Magnitudes that keep those of its input: [rows, cols] is multiplied by a
  // column of `cols`, [in, out] by a row of `in` values.
  void Matrix(const std::string& name, int64_t rows, int64_t cols);
  void InOutMatrix(const std::string& name, int64_t in, int64_t out);

 private:
  std::mt19937_64 random_;
  absl::FunctionRef<DType(const std::string&)> dtype_;
  TestTensors* tensors_;
};

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_DRAWER_H_
