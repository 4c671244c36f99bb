// SPDX-License-Identifier: Apache-2.0
// Quantized matmul with AMX: unpacks the weights chunk by chunk and multiplies
// each by all rows of x.

#if defined(RWKVD_CORE_KERNELS_AMX_INT8_GEMM_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_AMX_INT8_GEMM_INL_H_
#undef RWKVD_CORE_KERNELS_AMX_INT8_GEMM_INL_H_
#else
#define RWKVD_CORE_KERNELS_AMX_INT8_GEMM_INL_H_
#endif

#include "core/kernels/amx/int8_tiles-inl.h"
#include "core/kernels/amx/tile-inl.h"
#include "core/kernels/extensions-inl.h"
#include "core/kernels/gemm/tiling.h"
#include "core/kernels/quant/column_blocks-inl.h"
#include "core/kernels/quant/dot-inl.h"
#include "core/kernels/quant/layout-inl.h"
#include "core/kernels/quant/layout.h"
#include "core/kernels/quant/matmul_args.h"
#include "core/kernels/quant/sparse_columns-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#ifdef RWKVD_DOT_AMX

// ---- Unpacking weights to signed int8 panels, for many rows of x.

// XORed with this, unsigned weights become signed.
HWY_INLINE VI SignBits() {
  return hn::Set(kI, static_cast<int32_t>(0x80808080u));
}

// Unpacks `bytes` bytes of an int8 panel.
HWY_INLINE void UnpackInt8Panel(const uint8_t* from, int64_t bytes,
                                uint8_t* to) {
  for (int64_t at = 0; at < bytes; at += kVectorBytes) {
    __builtin_prefetch(from + at + Tiling::kPrefetchBytes, 0, 2);
    StoreBytes(hn::Xor(LoadBytes(from + at), SignBits()), to + at);
  }
}

// Unpacks `bytes` bytes of an int4 panel.
HWY_INLINE void UnpackInt4Panel(const uint8_t* from, int64_t bytes,
                                uint8_t* to) {
  static_assert(kQuadBytes == kVectorBytes, "a quad is not a vector");
  for (int64_t at = 0; at < bytes; at += kQuadBytes) {
    __builtin_prefetch(from + at + Tiling::kPrefetchBytes, 0, 2);
    const VI both = LoadBytes(from + at);
    StoreBytes(hn::Xor(LowNibblesTimes16(both), SignBits()), to + 2 * at);
    StoreBytes(hn::Xor(HighNibblesTimes16(both), SignBits()),
               to + 2 * at + kQuadBytes);
  }
}

// A chunk of the weights: some groups of some adjacent panels.
struct WeightChunk {
  int64_t first_panel;
  int64_t num_panels;
  int64_t first_group;
  int64_t num_groups;
};

// Panels per packed block: 1, or those of a column block. A chunk of column
// blocks is part of one column block.
int64_t PanelsPerPackedBlock(const QuantizedWeights& w) {
  return PackedBlockRows(w.type, w.order) / kPanelRows;
}

// Returns where panel `i` of a chunk is stored. Column blocks: where it would
// be if the chunk were stored panel by panel, for prefetching all of it.
const uint8_t* QuantsOfPanel(const QuantizedWeights& w,
                             const WeightChunk& chunk, int64_t i) {
  const int64_t groups = w.cols / kGroupCols;
  const int64_t stride =
      w.order == QuantOrder::kRowPanels ? groups : chunk.num_groups;
  return w.quants + (chunk.first_panel * groups +
                     chunk.first_group * PanelsPerPackedBlock(w) + i * stride) *
                        BlockBytes(w.type);
}

// Unpacks a chunk into `scratch`, [panels][groups][an int8 block].
void UnpackChunk(const QuantizedWeights& w, const WeightChunk& chunk,
                 uint8_t* scratch) {
  const int64_t stride = chunk.num_groups * kInt8BlockBytes;
  const bool is_int8 = w.type == QuantType::kInt8;
  if (w.order == QuantOrder::kColumnBlocks) {
    const int64_t group_bytes = kBlockColumnBytes * kGroupCols;
    const uint8_t* const columns = QuantsOfPanel(w, chunk, 0);
    for (int64_t g = 0; g < chunk.num_groups; ++g) {
      const auto fill = is_int8 ? &UnpackToInt8Panels<QuantType::kInt8>
                                : &UnpackToInt8Panels<QuantType::kInt4>;
      fill(columns + g * group_bytes, stride, SignBits(),
           scratch + g * kInt8BlockBytes);
    }
    return;
  }
  for (int64_t i = 0; i < chunk.num_panels; ++i) {
    const uint8_t* const from = QuantsOfPanel(w, chunk, i);
    if (is_int8) {
      UnpackInt8Panel(from, stride, scratch + i * stride);
    } else {
      UnpackInt4Panel(from, chunk.num_groups * BlockBytes(w.type),
                      scratch + i * stride);
    }
  }
}

// Returns the panels of a chunk, which are unpacked in `scratch` or, if that is
// null, taken as stored, for the rows of x from `row` on. While they are
// multiplied, the chunk `next` (may be null) is prefetched: each tile of x
// takes a share of it, so that memory is busy all the time.
ChunkPanels MakeChunkPanels(const QuantizedMatMulArgs& args,
                            const WeightChunk& chunk, const WeightChunk* next,
                            int64_t row, const uint8_t* scratch) {
  const QuantizedWeights& w = args.w;
  const int64_t block_panels = PanelsPerPackedBlock(w),
                groups = w.cols / kGroupCols;
  const int64_t first_scales =
      chunk.first_panel * groups + chunk.first_group * block_panels;
  const int64_t scales_stride = w.order == QuantOrder::kRowPanels ? groups : 1;
  const int64_t group_bytes = BlockBytes(w.type);
  const int64_t tiles = (args.x.num_rows + kTileRows - 1) / kTileRows;
  const int64_t share = (group_bytes / 64 + tiles - 1) / tiles * 64;
  const int64_t prefetched = HWY_MIN(row / kTileRows * share, group_bytes);
  // The last panels of a column block may not exist.
  const int64_t existing = (w.rows + kPanelRows - 1) / kPanelRows;
  ChunkPanels panels = {
      .num = HWY_MIN(chunk.num_panels, existing - chunk.first_panel),
      .num_groups = chunk.num_groups,
      .scales_group_stride = block_panels * kPanelRows,
      .prefetch_group_stride = group_bytes,
      .y_stride = args.y_stride,
      .is_first = chunk.first_group == 0,
      .of = {}};
  for (int64_t i = 0; i < panels.num; ++i) {
    const int64_t first = (chunk.first_panel + i) * kPanelRows;
    const bool prefetches = next != nullptr && i < next->num_panels;
    panels.of[i] = {
        .quants = scratch == nullptr
                      ? QuantsOfPanel(w, chunk, i)
                      : scratch + i * chunk.num_groups * kInt8BlockBytes,
        .scales = w.scales + (first_scales + i * scales_stride) * kPanelRows,
        .y = args.y + row * args.y_stride + first,
        .rows = FirstRows(w.rows - first),
        .prefetched =
            prefetches ? QuantsOfPanel(w, *next, i) + prefetched : w.quants,
        .prefetch_bytes =
            prefetches ? HWY_MIN(share, group_bytes - prefetched) : 0};
  }
  return panels;
}

// Multiplies a chunk by all rows of x.
template <bool kInt16, WeightBytes kWeights>
void MultiplyChunk(const QuantizedMatMulArgs& args, const WeightChunk& chunk,
                   const WeightChunk* next, const uint8_t* scratch) {
  CompilerBarrier();
  for (int64_t row = 0; row < args.x.num_rows; row += kTileRows) {
    const ActivationTile x = {&args.x, row, chunk.first_group,
                              HWY_MIN(args.x.num_rows - row, kTileRows)};
    if (x.num < kTileRows) ConfigureXRows(x.num);
    MultiplyChunkByTile<kInt16, kWeights>(
        MakeChunkPanels(args, chunk, next, row, scratch), x);
    if (x.num < kTileRows) ConfigureXRows(kTileRows);
  }
}

// Moves `chunk` to the next chunk of the panels before `end`. Returns false if
// there is none.
template <bool kInt16>
bool NextChunk(const QuantizedWeights& w, int64_t end, WeightChunk* chunk) {
  const int64_t groups = w.cols / kGroupCols;
  chunk->first_group += chunk->num_groups;
  if (chunk->first_group == groups) {
    chunk->first_group = 0;
    chunk->first_panel += chunk->num_panels;
  }
  const int64_t most = w.order == QuantOrder::kRowPanels
                           ? Tiling::kAmxInt8Panels
                           : PanelsPerPackedBlock(w);
  chunk->num_panels = HWY_MIN(most, end - chunk->first_panel);
  chunk->num_groups =
      HWY_MIN(Tiling::AmxInt8Groups(kInt16), groups - chunk->first_group);
  return chunk->num_panels > 0;
}

// Packed blocks [begin, end) times all rows of x: as stored if kWeights is
// kUnsigned, else unpacked to signed bytes.
template <bool kInt16, WeightBytes kWeights>
void MultiplyInt8ByTiles(const QuantizedMatMulArgs& args, int64_t begin,
                         int64_t end) {
  const int64_t panels = PanelsPerPackedBlock(args.w);
  alignas(64)
      uint8_t scratch[kMaxChunkPanels * kMaxChunkGroups * kInt8BlockBytes];
  ConfigureXRows(kTileRows);
  WeightChunk chunk = {begin * panels, 0, 0, 0};
  bool more = NextChunk<kInt16>(args.w, end * panels, &chunk);
  while (more) {
    WeightChunk next = chunk;
    more = NextChunk<kInt16>(args.w, end * panels, &next);
    const bool in_place = kWeights == WeightBytes::kUnsigned;
    if (!in_place) UnpackChunk(args.w, chunk, scratch);
    MultiplyChunk<kInt16, kWeights>(args, chunk, more ? &next : nullptr,
                                    in_place ? nullptr : scratch);
    chunk = next;
  }
  _tile_release();
}

// Packed blocks [begin, end) times all rows of x. Returns false, having done
// nothing, if x has so few rows, or so many zeros, that tiles are not faster.
bool QuantizedMatMulByTiles(const QuantizedMatMulArgs& args, int64_t begin,
                            int64_t end) {
  if (args.x.num_rows < Tiling::kAmxInt8MinX) return false;
  if (args.w.order == QuantOrder::kColumnBlocks && SkipsColumns(args.x)) {
    return false;
  }
  const bool in_place = args.w.type == QuantType::kInt8 &&
                        args.w.order == QuantOrder::kRowPanels &&
                        args.x.num_rows <= Tiling::kAmxInt8InPlaceMaxX;
  if (!args.x.is_int16) {
    (in_place
         ? MultiplyInt8ByTiles<false, WeightBytes::kUnsigned>
         : MultiplyInt8ByTiles<false, WeightBytes::kSigned>)(args, begin, end);
  } else {
    (in_place
         ? MultiplyInt8ByTiles<true, WeightBytes::kUnsigned>
         : MultiplyInt8ByTiles<true, WeightBytes::kSigned>)(args, begin, end);
  }
  return true;
}

#endif  // RWKVD_DOT_AMX

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
