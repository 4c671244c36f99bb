// SPDX-License-Identifier: Apache-2.0
#include "core/quantize/ggml_panels.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/match.h"
#include "core/base/check.h"
#include "core/checkpoint/ggml_blocks.h"

namespace rwkvd {
namespace {

constexpr int64_t kMaxSpanCols = 256;
constexpr int64_t kGroupQuants = kPanelRows * kGroupCols;
constexpr int64_t kQuadQuants = 4 * kPanelRows;

// The numbers of one row in a span, as the block types mean them.
struct RowSpan {
  uint8_t quants[kMaxSpanCols] = {};
  // f16: of each 32 columns or, with super scales, one for all.
  uint16_t scales[2] = {};
  uint16_t minimums[2] = {};
  // With super scales: the integers that they multiply.
  uint8_t integer_scales[16] = {};
  uint8_t integer_minimums[16] = {};
};

uint16_t U16At(const uint8_t* p) {
  return static_cast<uint16_t>(p[0] | p[1] << 8);
}

// ---- Reading blocks; core/checkpoint/ggml_blocks.h has the formats.

// 16 bytes: low nibbles are the first 16 quants, high nibbles the others.
void ReadNibbles(const uint8_t* bytes, uint8_t* quants) {
  for (int j = 0; j < 16; ++j) {
    quants[j] = bytes[j] & 15;
    quants[j + 16] = bytes[j] >> 4;
  }
}

// 4 bytes: the fifth bits of 32 quants.
void ReadFifthBits(const uint8_t* bytes, uint8_t* quants) {
  for (int j = 0; j < 32; ++j) {
    quants[j] |= (bytes[j / 8] >> j % 8 & 1) << 4;
  }
}

// A block of 32 quants, which are number `index` of the row's span.
void ReadSmallBlock(DType type, const uint8_t* block, int index, RowSpan* to) {
  uint8_t* const quants = to->quants + 32 * index;
  to->scales[index] = U16At(block);
  const uint8_t* at = block + 2;
  if (GgmlLayoutOf(type).has_minimums) {
    to->minimums[index] = U16At(at);
    at += 2;
  }
  if (type == DType::kQ8_0) {
    for (int j = 0; j < 32; ++j) quants[j] = at[j] ^ 0x80;
    return;
  }
  const bool has_fifth_bits = GgmlLayoutOf(type).bits == 5;
  ReadNibbles(has_fifth_bits ? at + 4 : at, quants);
  if (has_fifth_bits) ReadFifthBits(at, quants);
}

// 128 bytes: of each 32, the low nibbles come first, then the high ones.
void ReadNibblesOf256(const uint8_t* bytes, uint8_t* quants) {
  for (int c = 0; c < 256; ++c) {
    const uint8_t byte = bytes[c / 64 * 32 + c % 32];
    quants[c] = c % 64 < 32 ? byte & 15 : byte >> 4;
  }
}

// d, dmin, scales [12], Q5_K: fifth bits [32], nibbles [128].
void ReadQ4KOrQ5K(DType type, const uint8_t* block, RowSpan* to) {
  to->scales[0] = U16At(block);
  to->minimums[0] = U16At(block + 2);
  for (int run = 0; run < 8; ++run) {
    const ScaleMinimum both = ScaleAndMinimum(block + 4, run);
    to->integer_scales[run] = both.scale;
    to->integer_minimums[run] = both.minimum;
  }
  const uint8_t* const bits = block + 16;
  const bool has_fifth_bits = type == DType::kQ5_K;
  ReadNibblesOf256(has_fifth_bits ? bits + 32 : bits, to->quants);
  for (int c = 0; c < 256 && has_fifth_bits; ++c) {
    to->quants[c] |= (bits[c % 32] >> c / 32 & 1) << 4;
  }
}

// Nibbles [128], pairs [64], signed scales [16], d.
void ReadQ6K(const uint8_t* block, RowSpan* to) {
  const uint8_t* const pairs = block + 128;
  for (int c = 0; c < 256; ++c) {
    const int half = c / 128, quarter = c % 128 / 32, l = c % 32;
    const uint8_t nibbles = block[64 * half + 32 * (quarter % 2) + l];
    const int low = quarter < 2 ? nibbles & 15 : nibbles >> 4;
    const int high = pairs[32 * half + l] >> (2 * quarter) & 3;
    to->quants[c] = static_cast<uint8_t>(low | high << 4);
  }
  std::copy_n(block + 192, 16, to->integer_scales);
  to->scales[0] = U16At(block + 208);
}

// 64 bytes: the low two bits of 256 quants.
int PairOf(const uint8_t* pairs, int col) {
  return pairs[col / 128 * 32 + col % 32] >> (col % 128 / 32 * 2) & 3;
}

// Third bits [32], pairs [64], 6-bit scales plus 32 [12], d.
void ReadQ3K(const uint8_t* block, RowSpan* to) {
  for (int c = 0; c < 256; ++c) {
    const int high = block[c % 32] >> c / 32 & 1;
    to->quants[c] = static_cast<uint8_t>(PairOf(block + 32, c) | high << 2);
  }
  const uint8_t* const scales = block + 96;
  for (int i = 0; i < 16; ++i) {
    const int low = i < 8 ? scales[i] & 15 : scales[i - 8] >> 4;
    const int high = scales[8 + i % 4] >> (i / 4 * 2) & 3;
    to->integer_scales[i] = static_cast<uint8_t>((low | high << 4) - 32);
  }
  to->scales[0] = U16At(block + 108);
}

// Scales and minimums [16], pairs [64], d, dmin.
void ReadQ2K(const uint8_t* block, RowSpan* to) {
  std::copy_n(block, 16, to->integer_scales);
  for (int c = 0; c < 256; ++c) {
    to->quants[c] = static_cast<uint8_t>(PairOf(block + 16, c));
  }
  to->scales[0] = U16At(block + 80);
  to->minimums[0] = U16At(block + 82);
}

// d, high bits of the scales (16 bits), low ones [4], nibbles [128].
void ReadIq4Xs(const uint8_t* block, RowSpan* to) {
  to->scales[0] = U16At(block);
  const int high_bits = U16At(block + 2);
  for (int i = 0; i < 8; ++i) {
    const int low = block[4 + i / 2] >> (i % 2 * 4) & 15;
    const int high = high_bits >> (2 * i) & 3;
    to->integer_scales[i] = static_cast<uint8_t>((low | high << 4) - 32);
    ReadNibbles(block + 8 + 16 * i, to->quants + 32 * i);
  }
}

// A block of 256 quants.
void ReadLargeBlock(DType type, const uint8_t* block, RowSpan* to) {
  switch (type) {
    case DType::kQ2_K:
      return ReadQ2K(block, to);
    case DType::kQ3_K:
      return ReadQ3K(block, to);
    case DType::kQ6_K:
      return ReadQ6K(block, to);
    case DType::kIQ4_XS:
      return ReadIq4Xs(block, to);
    default:
      return ReadQ4KOrQ5K(type, block, to);
  }
}

// Reads the columns from `first` on of one row.
RowSpan ReadRowSpan(const GgmlRows& rows, int64_t row, int64_t first) {
  RowSpan span;
  const int64_t block_cols = BlockElements(rows.type);
  const int64_t bytes = BlockBytes(rows.type);
  const auto* const block = reinterpret_cast<const uint8_t*>(rows.blocks) +
                            row * rows.stride + first / block_cols * bytes;
  if (GgmlLayoutOf(rows.type).has_super_scales) {
    ReadLargeBlock(rows.type, block, &span);
    return span;
  }
  const int64_t num = std::min<int64_t>(2, (rows.cols - first) / block_cols);
  for (int i = 0; i < num; ++i) {
    ReadSmallBlock(rows.type, block + i * bytes, i, &span);
  }
  return span;
}

// ---- Writing panels.

void StoreU16(uint16_t value, uint8_t* p) { std::memcpy(p, &value, 2); }

// Writes one row's part of a span's header.
void WriteHeader(DType type, const RowSpan& span, int64_t row, uint8_t* to) {
  const GgmlLayout layout = GgmlLayoutOf(type);
  if (!layout.has_super_scales) {
    for (int i = 0; i < 2; ++i) {
      const int64_t at = (i * kPanelRows + row) * 2;
      StoreU16(span.scales[i], to + at);
      if (layout.has_minimums) StoreU16(span.minimums[i], to + 64 + at);
    }
    return;
  }
  StoreU16(span.scales[0], to + 2 * row);
  if (layout.has_minimums) {
    StoreU16(span.minimums[0] ^ 0x8000, to + 2 * (kPanelRows + row));
  }
  const int64_t runs = GgmlSpanCols(type) / layout.scale_cols;
  const bool has_minimum_bytes = layout.has_minimums && type != DType::kQ2_K;
  for (int64_t run = 0; run < runs; ++run) {
    uint8_t* const at = to + 64 + run * kPanelRows + row;
    at[0] = span.integer_scales[run];
    if (has_minimum_bytes) at[runs * kPanelRows] = span.integer_minimums[run];
  }
}

// Writes `bits` bits of each quant of a group, from bit `first` on, as a plane.
// Returns the byte after it.
uint8_t* WritePlane(const uint8_t* quants, int bits, int first, uint8_t* to) {
  const int per_byte = 8 / bits, mask = (1 << bits) - 1;
  for (int64_t i = 0; i < kGroupQuants / kQuadQuants; i += per_byte) {
    for (int64_t j = 0; j < kQuadQuants; ++j, ++to) {
      int byte = 0;
      for (int k = 0; k < per_byte; ++k) {
        const int q = quants[(i + k) * kQuadQuants + j] >> first & mask;
        byte |= q << (k * bits);
      }
      *to = static_cast<uint8_t>(byte);
    }
  }
  return to;
}

// Writes the quants of a group, numbered as in an int8 block.
void WriteGroup(int bits, const uint8_t* quants, uint8_t* to) {
  switch (bits) {
    case 3:
      WritePlane(quants, 1, 2, WritePlane(quants, 2, 0, to));
      return;
    case 5:
      WritePlane(quants, 1, 4, WritePlane(quants, 4, 0, to));
      return;
    case 6:
      WritePlane(quants, 2, 4, WritePlane(quants, 4, 0, to));
      return;
    default:
      WritePlane(quants, bits, 0, to);
  }
}

// Packs the span whose first column is `first`.
void PackSpan(const GgmlRows& rows, int64_t first, uint8_t* to) {
  const int64_t groups = GgmlSpanCols(rows.type) / kGroupCols;
  uint8_t quants[kMaxSpanCols / kGroupCols][kGroupQuants] = {};
  for (int64_t row = 0; row < rows.rows; ++row) {
    const RowSpan span = ReadRowSpan(rows, row, first);
    WriteHeader(rows.type, span, row, to);
    for (int64_t quad = 0; quad < groups * kGroupCols / 4; ++quad) {
      std::memcpy(&quants[0][quad * kQuadQuants + 4 * row],
                  span.quants + 4 * quad, 4);
    }
  }
  to += GgmlHeaderBytes(rows.type);
  for (int64_t g = 0; g < groups; ++g, to += GgmlGroupBytes(rows.type)) {
    WriteGroup(GgmlLayoutOf(rows.type).bits, quants[g], to);
  }
}

}  // namespace

bool TakesInt16Activations(DType type, absl::string_view name) {
  // Rounding to fewer bits has cost more than int8 activations add there.
  return GgmlLayoutOf(type).bits > 4 || !absl::StrContains(name, ".ffn.");
}

void PackGgmlPanel(const GgmlRows& rows, uint8_t* panel) {
  const int64_t bytes = GgmlPanelBytes(rows.type, rows.cols);
  std::memset(panel, 0, bytes);
  const int64_t span_cols = GgmlSpanCols(rows.type);
  for (int64_t first = 0; first < rows.cols; first += span_cols) {
    PackSpan(rows, first, panel);
    panel += GgmlSpanBytes(rows.type);
  }
}

AlignedVector<uint8_t> PackGgmlPanels(const Tensor& matrix, ThreadPool& pool) {
  const DType type = matrix.dtype;
  const int64_t rows = matrix.shape[0], cols = matrix.shape[1];
  RWKVD_CHECK(GgmlLayoutOf(type).bits != 0 && matrix.Strides()[1] == 1);
  const int64_t stride = rows == 1 ? cols : matrix.Strides()[0];
  const int64_t row_bytes = stride / BlockElements(type) * BlockBytes(type);
  const int64_t panel_bytes = GgmlPanelBytes(type, cols);
  AlignedVector<uint8_t> panels(NumGgmlPanels(rows) * panel_bytes);
  pool.ParallelFor(NumGgmlPanels(rows), [&](int64_t panel) {
    const int64_t first = panel * kPanelRows;
    PackGgmlPanel({.type = type,
                   .blocks = matrix.data.data() + first * row_bytes,
                   .stride = row_bytes,
                   .rows = std::min(kPanelRows, rows - first),
                   .cols = cols},
                  panels.data() + panel * panel_bytes);
  });
  return panels;
}

}  // namespace rwkvd
