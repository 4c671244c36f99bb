// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_KERNELS_GEMM_TILING_H_
#define RWKVD_CORE_KERNELS_GEMM_TILING_H_

#include <cstddef>
#include <cstdint>

namespace rwkvd {

// Every tuning threshold of the kernels, and of the split of a matmul into
// tasks (core/model/matrix.cc). Each names the register file, cache level or
// other property of the processor that it follows from. All were chosen by
// measurement; the sizes fit 32 KiB of L1 and 1 MiB of L2 cache per core.
//
// Changing one of them changes speed, never a result. The only exception is
// marked.
struct Tiling {
  // ---- Memory system.

  static constexpr size_t kCacheLineBytes = 64;

  // The hardware prefetcher follows one stream of reads per page.
  static constexpr size_t kPageBytes = 4096;

  // Prefetch distance: what a core reads while memory answers once. Much more
  // would be evicted from L2 before it is used.
  static constexpr int64_t kPrefetchBytes = 4096;

  // ---- Row-major float weights (gemm/row_major-inl.h).

  // The micro-kernel holds kRowMajorRows x RowMajorXRows sums in registers.
  // 32 registers (AVX-512): 4 x 6 sums, 4 weights and 1 of x.
  // 16 registers (all others): 4 x 3 sums, 3 of x and 1 weight.
  static constexpr int64_t kRowMajorRows = 4;
  static consteval int RowMajorXRows(int vector_bytes) {
    return vector_bytes == 64 ? 6 : 3;
  }

  // Columns of x in a chunk, so that 6 rows of it (24 KiB) stay in L1. Chunks
  // are used from this many rows of x on; for fewer, reading each row of
  // weights in parts costs more than it saves.
  static constexpr int64_t kColumnChunk = 1024;
  static constexpr int64_t kColumnChunkMinX = 64;
  // Micro-kernels whose sums are kept from one column chunk to the next: with
  // 16 lanes 12 KiB, in L1 next to x.
  static constexpr int64_t kColumnChunkMicroKernels = 8;

  // One row of x is limited by memory. Rows at least this long are read one by
  // one, from beginning to end, if a vector has kRowByRowMinLanes lanes, so
  // that a single sum keeps up with memory. (Measured: f32, which needs less
  // arithmetic per byte, is faster as four parallel streams.)
  static constexpr int64_t kRowByRowMinCols = 512;
  static constexpr size_t kRowByRowMinLanes = 16;

  // Rows of x from which 16-bit weights are widened to f32 in a buffer first.
  // (Measured: with AVX2 and AVX-512, where widening takes two instructions
  // that do not compete with multiplications, the micro-kernel that widens is
  // faster even at 128. The buffer is for processors where they compete.)
  static consteval int64_t WidenFirstMinX(size_t lanes) {
    return lanes >= 8 ? 128 : 16;
  }
  // Floats in that buffer: 256 KiB, in L2.
  static constexpr int64_t kWidenBufferFloats = 1 << 16;

  // Bytes of 16-bit weights that stay in L2 while all rows of x pass by.
  static constexpr int64_t kCached16BitBytes = 1 << 18;

  // ---- Column-major float weights (gemm/col_major_*-inl.h).

  // Rows of y at a time, whose sums (16 KiB with 16 lanes) stay in L1.
  static constexpr int64_t kColMajorGemvRows = 256;

  // Rows of x from which packing columns into f32 panels pays.
  static constexpr int64_t kColMajorGemmMinX = 8;
  // The micro-kernel: 2 vectors x 6 rows of x are 12 sums; with 2 weights and 1
  // of x they fit 16 registers.
  static constexpr int64_t kColMajorPanelVectors = 2;
  static constexpr int kColMajorXRows = 6;
  // Floats in all panels that are packed at a time (256 KiB, in L2), and at
  // most in one (512 KiB); matrices with longer rows take the GEMV kernel.
  static constexpr int64_t kColMajorPanelsFloats = 1 << 16;
  static constexpr int64_t kColMajorMaxPanelFloats = 1 << 17;

  // ---- Quantized weights (quant/).

  // The widest micro-kernel of row panels whose sums, totals, weights and
  // activations fit the registers: 32 of AVX-512 and NEON, 16 of the others.
  static consteval int QuantPanels(size_t lanes) { return lanes == 16 ? 2 : 1; }
  static consteval int QuantXRows(size_t lanes, bool is_arm64,
                                  bool takes_int16) {
    if (lanes == 16) return 6;
    if (is_arm64) return 3;
    return lanes == 8 && takes_int16 ? 4 : 2;
  }

  // Panels read as parallel streams for one row of x, which is limited by
  // memory: as many int8 panels as the registers hold sums for; the hardware
  // prefetcher follows them. int4 panels need more arithmetic per byte and are
  // read one by one, with prefetch instructions.
  static consteval int QuantGemvPanels(size_t lanes, bool is_int8) {
    return lanes == 16 && is_int8 ? 4 : 1;
  }

  // Bytes of quantized activations that are read for panel after panel: they
  // stay in L2 next to the panels.
  static constexpr int64_t kQuantXBytes = 1 << 17;

  // Bytes of a column block that are repacked into panels at a time: in L2.
  static constexpr int64_t kColumnBlockScratchBytes = 1 << 17;

  // Groups whose nonzero activations are listed at a time: 6 KiB, in L1.
  static constexpr int64_t kListGroups = 32;
  // Listed columns between a prefetch and the use: 32 columns of 128 bytes are
  // kPrefetchBytes.
  static constexpr int64_t kListPrefetchColumns = 32;
  // Vectors of a column at a time. (Measured: two are faster than one even with
  // 16 registers, though the sums of int4 weights do not all fit.)
  static constexpr int64_t kColumnVectors = 2;
  // With more rows of x than this, columns are not skipped.
  static constexpr int64_t kSkipColumnsMaxX = 8;

  // ---- Weights of GGML's block types (ggml/).

  // Rows of x of the micro-kernels that multiply weights which need no further
  // preparation. A panel is two vectors of 8 lanes: 12 sums, two vectors of
  // weights and one of x fit 16 registers. Two panels are two vectors of 16
  // lanes, with 32 registers. With 4 lanes, a panel is four vectors.
  static consteval int GgmlXRows(size_t lanes, bool is_arm64) {
    if (lanes >= 8) return 6;
    return is_arm64 ? 4 : 2;
  }

  // Groups of a few panels that are unpacked at a time: at most 16 KiB of
  // quants (32 KiB with 16 lanes) with their scales, which stay in L1 while all
  // rows of x pass by. A multiple of the 4 groups that share super scales.
  static constexpr int64_t kGgmlUnpackedGroups = 8;

  // ---- AMX (amx/).

  // Rows of x from which an int8 tile is faster than dot products, even if some
  // of the tile's rows stay empty.
  static constexpr int64_t kAmxInt8MinX = 8;
  // Up to this many rows of x, int8 row panels are multiplied as stored;
  // converting them to signed bytes first takes longer than it saves.
  static constexpr int64_t kAmxInt8InPlaceMaxX = 32;
  // Groups in a chunk. 16 rows of x are 16 KiB either way, int8 or int16, which
  // leaves room in L1 for the weights that pass by.
  static constexpr int64_t AmxInt8Groups(bool int16_activations) {
    return int16_activations ? 8 : 16;
  }
  // Row panels in a chunk: with 16 groups 128 KiB of unpacked weights, in L2.
  static constexpr int64_t kAmxInt8Panels = 8;

  // Columns of x in a chunk of the bf16 GEMM: two tiles of rows in three parts
  // are 192 KiB, in L2 next to the weights. EXCEPTION: the widest matrix that
  // AMX multiplies follows from it (kMaxCols in amx/bf16_tiles-inl.h), and AMX
  // rounds differently from vectors; so another value changes results.
  static constexpr int64_t kAmxBf16ChunkCols = 1024;
  // Rows of weights that share such a chunk of x; their sums are 64 KiB, in L2.
  static constexpr int64_t kAmxBf16ChunkRows = 512;
  // Cache lines of a column (32 rows each) whose sums the column-major GEMV
  // keeps: 2 KiB, in L1.
  static constexpr int64_t kAmxBf16GemvLines = 16;

  // ---- WKV recurrence (wkv-inl.h).

  // Adjacent vectors of value channels: 4 independent chains of multiply-adds
  // cover the latency of one; with values and factors they fit 16 registers.
  static constexpr int kWkvVectors = 4;

  // ---- Tasks (core/model/matrix.cc): rows of weights that one thread
  // multiplies at a time, by all rows of x.

  // Multiplications per task at least, to outweigh handing it to a thread (some
  // tens of nanoseconds).
  static constexpr int64_t kMinTaskWork = 1 << 16;
  // Bytes of float weights per task at most: they stay in L2 while all rows of
  // x pass by, and no thread waits long for the last task.
  static constexpr int64_t kMaxTaskBytes = 1 << 18;
  // The same for quantized weights, which are multiplied faster.
  static constexpr int64_t kQuantizedTaskBytes = 1 << 16;

  // From kBatchMinX rows of x on, a task has at least kBatchMinRows rows of
  // weights, so that reading x is amortized.
  static constexpr int64_t kBatchMinX = 16;
  static constexpr int64_t kBatchMinRows = 32;
  // From kPrefillMinX rows of x on, x may no longer fit L2: larger tasks read
  // it less often.
  static constexpr int64_t kPrefillMinX = 64;
  static constexpr int64_t kPrefillMaxRows = 128;
  static constexpr int64_t kPrefillMaxTaskBytes = 1 << 20;

  // Tasks per thread, for balance.
  static constexpr int64_t kTasksPerThread = 4;

  // 16-bit weights: AMX prepares x for each task. So a task has as many rows as
  // leave every thread kTasksPerThread tasks, but at most these: for one row of
  // x, fewer than kBatchMinX, and more.
  static constexpr int64_t kMax16BitRows[] = {128, 256, 512};
  // Row counts per task are multiples of these. 16-bit: two AMX tiles of rows;
  // f32: a micro-kernel; f32 column-major: two cache lines of a column.
  static constexpr int64_t k16BitRowMultiple = 32;
  static constexpr int64_t kRowMultiple = 4;
  static constexpr int64_t kColMajorRowMultiple = 32;
  // Column-major weights for fewer than kBatchMinX rows of x: a column's part
  // of 512 bytes or more, so that memory reads adjacent lines.
  static constexpr int64_t kColMajorTaskRows = 256;

  // Row panels: as many as QuantGemvPanels reads in parallel.
  static constexpr int64_t kPanelMultiple = 4;
  // Row panels for kBatchMinX rows of x or more, which AMX unpacks chunk by
  // chunk: while one chunk is multiplied, the next one of the task is fetched.
  static constexpr int64_t kBatchMaxPanels = 32;
  static constexpr int64_t kBatchPanelMultiple = 8;

  // Elements of x from which quantizing them is shared among threads: a
  // thread's start costs as much as some thousand elements.
  static constexpr int64_t kParallelQuantizeMinElements = 16384;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_KERNELS_GEMM_TILING_H_
