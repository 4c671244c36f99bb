// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_GGML_BLOCKS_H_
#define RWKVD_CORE_CHECKPOINT_GGML_BLOCKS_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "core/base/dtype.h"

namespace rwkvd {

// The block types of ggml, which GGUF files hold. A block has the elements
// x[0..31] or x[0..255] in BlockBytes(dtype) bytes, without padding. d, m and
// dmin are f16, all numbers are little-endian, q are unsigned quants, and
// nibble 0 of a byte is the low one. (ggml/src/ggml-common.h and
// ggml-quants.c.)
//
// Blocks of 32. Element i has the low nibble of qs[i] for i < 16, else the high
// nibble of qs[i - 16]. A fifth bit is bit i of qh.
//   Q8_0    d, int8 q[32]             x = d q
//   Q4_0    d, qs[16]                 x = d (q - 8)
//   Q4_1    d, m, qs[16]              x = d q + m
//   Q5_0    d, u32 qh, qs[16]         x = d (q - 16)
//   Q5_1    d, m, u32 qh, qs[16]      x = d q + m
//   IQ4_NL  d, qs[16]                 x = d table[q]
//
// Blocks of 256. Element i belongs to group g = i / 16 or i / 32 as stated,
// which has a scale s[g] and, for Q2_K, Q4_K and Q5_K, a minimum m[g]. In each
// half of 128 elements, part p = i / 32 % 4.
//   Q2_K    u8 sm[16], qs[64], d, dmin            x = d s q - dmin m
//           Groups of 16; s[g] is nibble 0 of sm[g], m[g] is nibble 1. q is
//           bits 2p and 2p + 1 of qs[32 (i / 128) + i % 32].
//   Q3_K    hmask[32], qs[64], scales[12], d      x = d (s - 32) (q - 4)
//           Groups of 16. The low bits of q as in Q2_K, the third one is bit
//           i / 32 of hmask[i % 32]. s[g] has four low bits, nibble g / 8 of
//           scales[g % 8], and two high bits, 2 (g / 4) and the next one of
//           scales[8 + g % 4].
//   Q4_K    d, dmin, scales[12], qs[128]          x = d s q - dmin m
//           Groups of 32, with six bits each for s and m (ScaleAndMinimum). q
//           is nibble g % 2 of qs[32 (i / 64) + i % 32].
//   Q5_K    d, dmin, scales[12], qh[32], qs[128]  x = d s q - dmin m
//           As Q4_K, with a fifth bit of q: bit g of qh[i % 32].
//   Q6_K    ql[128], qh[64], int8 s[16], d        x = d s (q - 32)
//           Groups of 16. The low bits of q are nibble p / 2 of
//           ql[64 (i / 128) + 32 (p % 2) + i % 32], the high ones are bits 2p
//           and 2p + 1 of qh[32 (i / 128) + i % 32].
//   IQ4_XS  d, u16 sh, sl[4], qs[128]             x = d (s - 32) table[q]
//           Groups of 32. s has four low bits, nibble g % 2 of sl[g / 2], and
//           two high bits, 2g and 2g + 1 of sh. q as in IQ4_NL, from
//           qs[16 g + ...].

// The values of the quants of IQ4_NL and IQ4_XS.
inline constexpr int8_t kIq4Values[16] = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// The six-bit scale and minimum of one group of Q4_K or Q5_K.
struct ScaleMinimum {
  uint8_t scale;
  uint8_t minimum;
};
// Returns those of group `g`, from 0 to 7, out of the twelve bytes `scales`.
ScaleMinimum ScaleAndMinimum(const uint8_t* scales, int g);

// Converts `num_elements` elements of the block type `dtype`, a multiple of
// BlockElements(dtype), to f32. Each element is what the formula above gives in
// exact arithmetic, rounded once; apart from the difference of Q2_K, Q4_K,
// Q5_K, Q4_1 and Q5_1 nothing needs rounding. Subnormal f16 are not flushed.
void DequantizeBlocks(DType dtype, const std::byte* blocks,
                      int64_t num_elements, float* dst);

// Multiplies all elements of one block by `factor`, a power of two of at least
// 1. Returns false, and leaves the block unspecified, if a scale would exceed
// the largest f16.
bool MultiplyBlock(DType dtype, float factor, std::byte* block);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_GGML_BLOCKS_H_
