// SPDX-License-Identifier: Apache-2.0
// The tile registers of AMX, Intel's matrix extension, and helpers to fill
// them.

#if defined(RWKVD_CORE_KERNELS_AMX_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_AMX_TILE_INL_H_
#undef RWKVD_CORE_KERNELS_AMX_TILE_INL_H_
#else
#define RWKVD_CORE_KERNELS_AMX_TILE_INL_H_
#endif

#include "core/kernels/extensions-inl.h"
#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#ifdef RWKVD_DOT_AMX

// A tile register holds at most sixteen rows of 64 bytes.
constexpr int kTileRows = 16;
constexpr int64_t kTileBytes = 1024;

// The layout of all eight tile registers (Intel's manual, LDTILECFG).
struct TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Keeps the compiler from moving writes to memory behind tile instructions that
// read it: it does not know that these read memory.
HWY_INLINE void CompilerBarrier() { __asm__ volatile("" : : : "memory"); }

void LoadConfig(const TileConfig& config) {
  CompilerBarrier();
  _tile_loadconfig(&config);
}

// A mask of the first `rows` of sixteen rows.
constexpr __mmask16 FirstRows(int64_t rows) {
  return rows >= 16 ? 0xffff : static_cast<__mmask16>((1u << rows) - 1);
}

// Transposes the 16 x 16 matrix `v` of 32-bit elements.
HWY_INLINE void Transpose(__m512i (&v)[16]) {
  __m512i t[16];
  HWY_UNROLL(8)
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
  }
  // v[4 i + j] holds column j of each 128 bits, of the rows 4 i to 4 i + 3.
  HWY_UNROLL(4)
  for (int i = 0; i < 4; ++i) {
    v[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    v[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    v[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    v[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  HWY_UNROLL(4)
  for (int j = 0; j < 4; ++j) {
    const __m512i a = _mm512_shuffle_i32x4(v[j], v[4 + j], 0x88);
    const __m512i b = _mm512_shuffle_i32x4(v[j], v[4 + j], 0xdd);
    const __m512i c = _mm512_shuffle_i32x4(v[8 + j], v[12 + j], 0x88);
    const __m512i d = _mm512_shuffle_i32x4(v[8 + j], v[12 + j], 0xdd);
    t[j] = _mm512_shuffle_i32x4(a, c, 0x88);
    t[4 + j] = _mm512_shuffle_i32x4(b, d, 0x88);
    t[8 + j] = _mm512_shuffle_i32x4(a, c, 0xdd);
    t[12 + j] = _mm512_shuffle_i32x4(b, d, 0xdd);
  }
  HWY_UNROLL(16)
  for (int i = 0; i < 16; ++i) v[i] = t[i];
}

#endif  // RWKVD_DOT_AMX

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
