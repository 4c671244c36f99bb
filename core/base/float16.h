// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_FLOAT16_H_
#define RWKVD_CORE_BASE_FLOAT16_H_

#include <Eigen/Core>
#include <cstdint>

namespace rwkvd {

// The bits of a 16-bit float as f32, exactly; and the nearest 16-bit float,
// ties to even. For loading and tests: kernels convert in registers.

inline float BF16ToFloat(uint16_t bits) {
  return static_cast<float>(Eigen::numext::bit_cast<Eigen::bfloat16>(bits));
}

inline uint16_t FloatToBF16(float value) {
  return Eigen::numext::bit_cast<uint16_t>(Eigen::bfloat16(value));
}

inline float F16ToFloat(uint16_t bits) {
  return static_cast<float>(Eigen::numext::bit_cast<Eigen::half>(bits));
}

inline uint16_t FloatToF16(float value) {
  return Eigen::numext::bit_cast<uint16_t>(Eigen::half(value));
}

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_FLOAT16_H_
