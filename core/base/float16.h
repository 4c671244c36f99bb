// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_FLOAT16_H_
#define RWKVD_CORE_BASE_FLOAT16_H_

#include <bit>
#include <cmath>
#include <cstdint>

namespace rwkvd {

// Conversions between f32 and the bits of the two 16-bit float types, bf16 and
// IEEE 754 binary16 (f16). Conversions to f32 are exact. Conversions to 16 bits
// round to the nearest number, ties to even; a number that is too large becomes
// an infinity, and a NaN becomes a quiet NaN. For loading and tests: kernels
// convert in registers.

inline float BF16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(uint32_t{bits} << 16);
}

inline uint16_t FloatToBF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return std::signbit(value) ? 0xFFC0 : 0x7FC0;
  const uint32_t is_odd = bits >> 16 & 1;
  return static_cast<uint16_t>((bits + 0x7FFF + is_odd) >> 16);
}

inline float F16ToFloat(uint16_t bits) {
  constexpr uint32_t kMantissaBits = 13;  // f32 has this many more
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16;
  const uint32_t magnitude = uint32_t{bits & 0x7FFFu} << kMantissaBits;
  if (magnitude >= 0x7C00u << kMantissaBits) {  // an infinity or a NaN
    return std::bit_cast<float>(sign | 0x7F800000 | magnitude);
  }
  // The exponents' biases are 15 and 127. The product is exact, also for
  // subnormal numbers.
  const float value = std::bit_cast<float>(magnitude) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(value));
}

inline uint16_t FloatToF16(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const float magnitude = std::abs(value);
  if (std::isnan(value)) return sign | 0x7E00;
  if (magnitude >= 65520) return sign | 0x7C00;  // half way to 2^16
  if (magnitude < 0x1p-14f) {
    // Subnormal numbers are multiples of 2^-24, the unit in the last place of
    // this sum.
    const float sum = magnitude + 0.5f;
    return static_cast<uint16_t>(
        sign | (std::bit_cast<uint32_t>(sum) - std::bit_cast<uint32_t>(0.5f)));
  }
  const uint32_t bits = std::bit_cast<uint32_t>(magnitude);
  const uint32_t is_odd = bits >> 13 & 1;
  const uint32_t rebiased = bits - ((127u - 15u) << 23);
  return static_cast<uint16_t>(sign | ((rebiased + 0xFFF + is_odd) >> 13));
}

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_FLOAT16_H_
