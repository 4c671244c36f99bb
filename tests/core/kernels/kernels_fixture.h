// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_CORE_KERNELS_KERNELS_FIXTURE_H_
#define RWKVD_TESTS_CORE_KERNELS_KERNELS_FIXTURE_H_

// Fixture for tests that run once per kernel table that this processor
// supports. They compare kernels with the same formula in double precision, for
// sizes around the vector widths.

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "core/base/dtype.h"
#include "core/base/float16.h"
#include "core/kernels/targets/supported_kernels.h"
#include "gtest/gtest.h"

namespace rwkvd {

using Floats = std::vector<float>;

// The relative error of one rounding to f32: half a unit in the last place.
inline constexpr double kRounding = 0x1p-24;

inline constexpr size_t kSizes[] = {1,  2,  3,  7,  8,  15,  16, 17,
                                    31, 32, 33, 64, 96, 100, 257};

class KernelsTest : public ::testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& kernels() const { return *GetParam(); }

  Floats Normal(size_t n, float mean = 0, float deviation = 1) {
    std::normal_distribution<float> normal(mean, deviation);
    Floats values(n);
    for (float& value : values) value = normal(random_);
    return values;
  }

  std::mt19937_64 random_{3};
};

inline double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

#define RWKVD_TEST_KERNELS(Suite, tables)             \
  INSTANTIATE_TEST_SUITE_P(                           \
      AllTargets, Suite, ::testing::ValuesIn(tables), \
      [](const auto& info) { return std::string(info.param->name); })
#define RWKVD_TEST_ALL_KERNELS(Suite) \
  RWKVD_TEST_KERNELS(Suite, SupportedKernels())

// The supported tables, but of those that share their matmul and to_float only
// the plainest: dot products of bytes, for example, extend a table only by
// quantized kernels.
inline std::vector<const KernelTable*> TablesOfMatMul() {
  std::vector<const KernelTable*> all = SupportedKernels(), tables;
  std::reverse(all.begin(), all.end());  // the plainest first
  for (const KernelTable* table : all) {
    if (std::none_of(tables.begin(), tables.end(), [&](const auto* other) {
          return table->matmul == other->matmul &&
                 table->to_float == other->to_float;
        })) {
      tables.push_back(table);
    }
  }
  return tables;
}

// Weights as stored, at an odd address, and the numbers that they stand for.
struct Weights {
  std::vector<char> bytes;
  Floats values;
  const void* data() const { return bytes.data() + 1; }
};

inline Weights Store(const Floats& values, DType dtype) {
  Weights weights;
  weights.bytes.push_back(0);
  const auto append = [&](const auto& bits) {
    const char* begin = reinterpret_cast<const char*>(&bits);
    weights.bytes.insert(weights.bytes.end(), begin, begin + sizeof(bits));
  };
  for (float value : values) {
    switch (dtype) {
      case DType::kF32:
        append(value);
        weights.values.push_back(value);
        break;
      case DType::kF16:
        append(FloatToF16(value));
        weights.values.push_back(F16ToFloat(FloatToF16(value)));
        break;
      case DType::kBF16:
        append(FloatToBF16(value));
        weights.values.push_back(BF16ToFloat(FloatToBF16(value)));
        break;
      default:
        break;  // quantized weights are not tested here
    }
  }
  return weights;
}

}  // namespace rwkvd

#endif  // RWKVD_TESTS_CORE_KERNELS_KERNELS_FIXTURE_H_
