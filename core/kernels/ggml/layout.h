// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_KERNELS_GGML_LAYOUT_H_
#define RWKVD_CORE_KERNELS_GGML_LAYOUT_H_

#include <cstdint>

#include "core/base/dtype.h"
#include "core/kernels/quant/layout.h"

namespace rwkvd {

// How weights of GGML's block types (the types of GGUF files) are stored in
// memory: repacked into row panels, but with the numbers of the file, so that
// every weight means exactly what the file says. core/quantize/ggml_panels.h
// packs them; core/kernels/README.md defines the words.
//
// A weight is  scale * (q - zero) + minimum, where the quant q has 2 to 8 bits
// (IQ4_NL and IQ4_XS look up a quant of 8 bits by one of 4). kScaleCols
// adjacent columns of a row share a scale and a minimum. These are f16 numbers
// or, in types with super scales, integers times the f16 super scale of 256
// columns.
//
// A panel is 16 rows, missing ones zero. It consists of spans of 64 columns
// (256 with super scales), one after the other. A span is its header, padded to
// a multiple of 64 bytes, and then the quants of each of its groups.
//
// Header, each array [..][16 rows]:
//   without super scales  scales f16 [2], minimums f16 [2] if the type has them
//   with super scales     super scale f16 [1], negated super minimum f16 [1] or
//                         zeros; scales, a byte each [span / kScaleCols];
//                         minimums likewise. Q2_K: both share a byte; the scale
//                         is the low nibble.
//
// The 1024 quants of a group are numbered as in an int8 block (quads of four
// columns, 16 rows each). Their bits are split into planes:
//   8 bits   a byte each
//   nibbles  byte 64 i + j holds quants 64 * (2 i) + j, low, and
//            64 * (2 i + 1) + j, high
//   pairs    byte 64 i + j holds quants 64 * (4 i + k) + j in bits 2 k, 2 k + 1
//   bits     byte 64 i + j holds quants 64 * (8 i + k) + j in bit k
// 2 bits are pairs; 3 bits pairs, then bits (the highest one); 4 bits nibbles;
// 5 bits nibbles, then bits; 6 bits nibbles, then pairs.
struct GgmlLayout {
  int bits = 0;  // that each quant takes
  // The q that stands for zero; 0 if the type has minimums.
  int zero = 0;
  int64_t scale_cols = 32;
  bool has_minimums = false;
  bool has_super_scales = false;
  bool has_signed_scales = false;  // the integers that super scales multiply
  bool is_lookup = false;          // IQ4_NL, IQ4_XS
};

// The layout of a block type; `bits` is 0 for other types.
constexpr GgmlLayout GgmlLayoutOf(DType type) {
  switch (type) {
    case DType::kQ8_0:
      return {.bits = 8, .zero = kQuantZero};
    case DType::kQ4_0:
      return {.bits = 4, .zero = 8};
    case DType::kQ4_1:
      return {.bits = 4, .has_minimums = true};
    case DType::kQ5_0:
      return {.bits = 5, .zero = 16};
    case DType::kQ5_1:
      return {.bits = 5, .has_minimums = true};
    case DType::kQ2_K:
      return {.bits = 2,
              .scale_cols = 16,
              .has_minimums = true,
              .has_super_scales = true};
    case DType::kQ3_K:
      return {.bits = 3,
              .zero = 4,
              .scale_cols = 16,
              .has_super_scales = true,
              .has_signed_scales = true};
    case DType::kQ4_K:
      return {.bits = 4, .has_minimums = true, .has_super_scales = true};
    case DType::kQ5_K:
      return {.bits = 5, .has_minimums = true, .has_super_scales = true};
    case DType::kQ6_K:
      return {.bits = 6,
              .zero = 32,
              .scale_cols = 16,
              .has_super_scales = true,
              .has_signed_scales = true};
    case DType::kIQ4_NL:
      return {.bits = 4, .zero = kQuantZero, .is_lookup = true};
    case DType::kIQ4_XS:
      return {.bits = 4,
              .zero = kQuantZero,
              .has_super_scales = true,
              .has_signed_scales = true,
              .is_lookup = true};
    default:
      return {};
  }
}

// The quants of IQ4_NL and IQ4_XS, by their 4 bits.
inline constexpr uint8_t kIq4Quants[16] = {
    1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};

// Whether the quants of this type have few bits. int8 activations are then
// multiplied as QuantizedActivations::high on every instruction set: those that
// otherwise multiply int16 multiply such quants faster as bytes.
constexpr bool HasNarrowQuants(DType type) {
  return GgmlLayoutOf(type).bits <= 6 && !GgmlLayoutOf(type).is_lookup;
}

// Columns of a span.
constexpr int64_t GgmlSpanCols(DType type) {
  return GgmlLayoutOf(type).has_super_scales ? 256 : kGroupCols;
}

// Bytes of a span's header.
constexpr int64_t GgmlHeaderBytes(DType type) {
  const GgmlLayout layout = GgmlLayoutOf(type);
  const int64_t arrays = layout.has_minimums ? 2 : 1;
  if (!layout.has_super_scales) return arrays * 64;
  const int64_t byte_arrays = type == DType::kQ2_K ? 1 : arrays;
  return 64 + byte_arrays * 256 / layout.scale_cols * kPanelRows;
}

// Bytes of the quants of one group.
constexpr int64_t GgmlGroupBytes(DType type) {
  return kPanelRows * kGroupCols * GgmlLayoutOf(type).bits / 8;
}

// Bytes of a span.
constexpr int64_t GgmlSpanBytes(DType type) {
  return GgmlHeaderBytes(type) +
         GgmlSpanCols(type) / kGroupCols * GgmlGroupBytes(type);
}

// Columns as stored: rounded up to whole spans, with zeros.
constexpr int64_t GgmlPaddedCols(DType type, int64_t cols) {
  const int64_t span = GgmlSpanCols(type);
  return (cols + span - 1) / span * span;
}

// Bytes of a panel.
constexpr int64_t GgmlPanelBytes(DType type, int64_t cols) {
  return GgmlPaddedCols(type, cols) / GgmlSpanCols(type) * GgmlSpanBytes(type);
}

constexpr int64_t NumGgmlPanels(int64_t rows) {
  return (rows + kPanelRows - 1) / kPanelRows;
}

// Packed weights [rows, cols] of a block type. A view.
struct GgmlWeights {
  DType type = DType::kQ8_0;
  // Whether the matmul quantizes activations to int16 instead of int8.
  bool int16_activations = true;
  int64_t rows = 0;
  int64_t cols = 0;                 // as stored: GgmlPaddedCols
  float factor = 1;                 // of all weights, a power of two
  const uint8_t* panels = nullptr;  // aligned to a cache line
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_KERNELS_GGML_LAYOUT_H_
