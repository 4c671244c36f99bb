// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/ggml_blocks.h"

#include <cmath>
#include <cstring>

#include "core/base/check.h"
#include "core/base/float16.h"

namespace rwkvd {
namespace {

constexpr int kSmall = 32;   // elements of a block of 32
constexpr int kLarge = 256;  // elements of a block of 256

uint16_t ReadU16(const uint8_t* p) {
  return static_cast<uint16_t>(p[0] | p[1] << 8);
}

uint32_t ReadU32(const uint8_t* p) {
  return ReadU16(p) | uint32_t{ReadU16(p + 2)} << 16;
}

float ReadF16(const uint8_t* p) { return F16ToFloat(ReadU16(p)); }

// The low (0) or high (1) nibble.
int Nibble(uint8_t byte, int which) { return byte >> (4 * which) & 15; }

// The quant of element `i` of a block of 32.
int NibbleOf32(const uint8_t* qs, int i) { return Nibble(qs[i % 16], i / 16); }

// Bits 2p and 2p + 1 of the byte for element `i` of a block of 256, where p is
// the part of the half that has the element.
int TwoBitsOf256(const uint8_t* bytes, int i) {
  return bytes[i / 128 * 32 + i % 32] >> (2 * (i / 32 % 4)) & 3;
}

void DequantizeQ8_0(const uint8_t* block, float* x) {
  const float d = ReadF16(block);
  for (int i = 0; i < kSmall; ++i) {
    x[i] = d * static_cast<float>(static_cast<int8_t>(block[2 + i]));
  }
}

void DequantizeQ4_0(const uint8_t* block, float* x) {
  const float d = ReadF16(block);
  for (int i = 0; i < kSmall; ++i) {
    x[i] = d * static_cast<float>(NibbleOf32(block + 2, i) - 8);
  }
}

void DequantizeQ4_1(const uint8_t* block, float* x) {
  const float d = ReadF16(block), m = ReadF16(block + 2);
  for (int i = 0; i < kSmall; ++i) {
    x[i] = d * static_cast<float>(NibbleOf32(block + 4, i)) + m;
  }
}

// A quant of five bits of a block of 32.
int FiveBits(uint32_t qh, const uint8_t* qs, int i) {
  return NibbleOf32(qs, i) | static_cast<int>(qh >> i & 1) << 4;
}

void DequantizeQ5_0(const uint8_t* block, float* x) {
  const float d = ReadF16(block);
  const uint32_t qh = ReadU32(block + 2);
  for (int i = 0; i < kSmall; ++i) {
    x[i] = d * static_cast<float>(FiveBits(qh, block + 6, i) - 16);
  }
}

void DequantizeQ5_1(const uint8_t* block, float* x) {
  const float d = ReadF16(block), m = ReadF16(block + 2);
  const uint32_t qh = ReadU32(block + 4);
  for (int i = 0; i < kSmall; ++i) {
    x[i] = d * static_cast<float>(FiveBits(qh, block + 8, i)) + m;
  }
}

void DequantizeIQ4_NL(const uint8_t* block, float* x) {
  const float d = ReadF16(block);
  for (int i = 0; i < kSmall; ++i) {
    x[i] = d * static_cast<float>(kIq4Values[NibbleOf32(block + 2, i)]);
  }
}

void DequantizeQ2_K(const uint8_t* block, float* x) {
  const uint8_t *const sm = block, *const qs = block + 16;
  const float d = ReadF16(block + 80), dmin = ReadF16(block + 82);
  for (int i = 0; i < kLarge; ++i) {
    const float scale = d * static_cast<float>(Nibble(sm[i / 16], 0));
    const float minimum = dmin * static_cast<float>(Nibble(sm[i / 16], 1));
    x[i] = scale * static_cast<float>(TwoBitsOf256(qs, i)) - minimum;
  }
}

void DequantizeQ3_K(const uint8_t* block, float* x) {
  const uint8_t *const hmask = block, *const qs = block + 32,
                       *const scales = block + 96;
  const float d = ReadF16(block + 108);
  for (int i = 0; i < kLarge; ++i) {
    const int g = i / 16;
    const int s = Nibble(scales[g % 8], g / 8) |
                  (scales[8 + g % 4] >> (2 * (g / 4)) & 3) << 4;
    const int q = TwoBitsOf256(qs, i) | (hmask[i % 32] >> (i / 32) & 1) << 2;
    x[i] = d * static_cast<float>(s - 32) * static_cast<float>(q - 4);
  }
}

void DequantizeQ4_K(const uint8_t* block, float* x) {
  const float d = ReadF16(block), dmin = ReadF16(block + 2);
  const uint8_t *const scales = block + 4, *const qs = block + 16;
  for (int i = 0; i < kLarge; ++i) {
    const int g = i / 32;
    const ScaleMinimum sm = ScaleAndMinimum(scales, g);
    const int q = Nibble(qs[i / 64 * 32 + i % 32], g % 2);
    x[i] = d * sm.scale * static_cast<float>(q) - dmin * sm.minimum;
  }
}

void DequantizeQ5_K(const uint8_t* block, float* x) {
  const float d = ReadF16(block), dmin = ReadF16(block + 2);
  const uint8_t *const scales = block + 4, *const qh = block + 16,
                       *const qs = block + 48;
  for (int i = 0; i < kLarge; ++i) {
    const int g = i / 32;
    const ScaleMinimum sm = ScaleAndMinimum(scales, g);
    const int q =
        Nibble(qs[i / 64 * 32 + i % 32], g % 2) | (qh[i % 32] >> g & 1) << 4;
    x[i] = d * sm.scale * static_cast<float>(q) - dmin * sm.minimum;
  }
}

void DequantizeQ6_K(const uint8_t* block, float* x) {
  const uint8_t *const ql = block, *const qh = block + 128,
                       *const scales = block + 192;
  const float d = ReadF16(block + 208);
  for (int i = 0; i < kLarge; ++i) {
    const int p = i / 32 % 4;
    const int q = Nibble(ql[i / 128 * 64 + p % 2 * 32 + i % 32], p / 2) |
                  TwoBitsOf256(qh, i) << 4;
    const auto s = static_cast<int8_t>(scales[i / 16]);
    x[i] = d * static_cast<float>(s) * static_cast<float>(q - 32);
  }
}

void DequantizeIQ4_XS(const uint8_t* block, float* x) {
  const float d = ReadF16(block);
  const int sh = ReadU16(block + 2);
  const uint8_t *const sl = block + 4, *const qs = block + 8;
  for (int g = 0; g < kLarge / 32; ++g) {
    const int s = Nibble(sl[g / 2], g % 2) | (sh >> (2 * g) & 3) << 4;
    for (int i = 0; i < 32; ++i) {
      const int8_t value = kIq4Values[NibbleOf32(qs + 16 * g, i)];
      x[32 * g + i] = d * static_cast<float>(s - 32) * value;
    }
  }
}

// How to read a block type, and where its blocks have their f16 numbers.
struct BlockCode {
  void (*dequantize)(const uint8_t* block, float* x);
  int f16_at[2];  // in bytes; -1: there is no second one
};

// Returns nullptr if it is not a block type.
const BlockCode* CodeOf(DType dtype) {
  // In the order of kBlockTypes.
  static constexpr BlockCode kCodes[] = {
      {DequantizeQ8_0, {0, -1}},   {DequantizeQ4_0, {0, -1}},
      {DequantizeQ4_1, {0, 2}},    {DequantizeQ5_0, {0, -1}},
      {DequantizeQ5_1, {0, 2}},    {DequantizeQ2_K, {80, 82}},
      {DequantizeQ3_K, {108, -1}}, {DequantizeQ4_K, {0, 2}},
      {DequantizeQ5_K, {0, 2}},    {DequantizeQ6_K, {208, -1}},
      {DequantizeIQ4_NL, {0, -1}}, {DequantizeIQ4_XS, {0, -1}},
  };
  static_assert(std::size(kCodes) == std::size(kBlockTypes));
  for (size_t i = 0; i < std::size(kBlockTypes); ++i) {
    if (kBlockTypes[i] == dtype) return &kCodes[i];
  }
  return nullptr;
}

}  // namespace

ScaleMinimum ScaleAndMinimum(const uint8_t* scales, int g) {
  if (g < 4) {
    return {static_cast<uint8_t>(scales[g] & 63),
            static_cast<uint8_t>(scales[g + 4] & 63)};
  }
  return {static_cast<uint8_t>((scales[g + 4] & 15) | scales[g - 4] >> 6 << 4),
          static_cast<uint8_t>(scales[g + 4] >> 4 | scales[g] >> 6 << 4)};
}

void DequantizeBlocks(DType dtype, const std::byte* blocks,
                      int64_t num_elements, float* dst) {
  const BlockCode* const code = CodeOf(dtype);
  RWKVD_CHECK(code != nullptr && num_elements % BlockElements(dtype) == 0);
  const auto* block = reinterpret_cast<const uint8_t*>(blocks);
  for (int64_t i = 0; i < num_elements; i += BlockElements(dtype)) {
    code->dequantize(block, dst + i);
    block += BlockBytes(dtype);
  }
}

bool MultiplyBlock(DType dtype, float factor, std::byte* block) {
  const BlockCode* const code = CodeOf(dtype);
  RWKVD_CHECK(code != nullptr && factor >= 1);
  for (int at : code->f16_at) {
    if (at < 0) continue;
    uint16_t bits;
    std::memcpy(&bits, block + at, sizeof(bits));
    const float scaled = F16ToFloat(bits) * factor;
    bits = FloatToF16(scaled);
    if (F16ToFloat(bits) != scaled && !std::isnan(scaled)) return false;
    std::memcpy(block + at, &bits, sizeof(bits));
  }
  return true;
}

}  // namespace rwkvd
