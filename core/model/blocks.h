// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_BLOCKS_H_
#define RWKVD_CORE_MODEL_BLOCKS_H_

// Steps that the models of all versions share. C is the width of the residual
// stream. T is the number of rows of a forward pass: the tokens of all its
// chunks, in the order of the chunks. All functions run on the workspace's pool
// and are batch-invariant. Called by the thread that called Forward.

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "core/kernels/kernel_table.h"
#include "core/model/model.h"
#include "core/model/weight_reader.h"
#include "core/model/workspace.h"

namespace rwkvd {

inline constexpr float kLayerNormEpsilon = 1e-5f;

// The parameters of a layer normalization, [C] each.
struct LayerNorm {
  Vector weight;
  Vector bias;
};

// The normalization of the embedding; empty if the model has none.
LayerNorm TakeEmbeddingNorm(WeightReader& reader, const ModelConfig& config);

LayerNorm TakeLayerNorm(WeightReader& reader, const std::string& name,
                        int64_t size);

// T, the number of tokens of all chunks.
int64_t NumRows(absl::Span<const Chunk> chunks);

// Calls fn(chunk, row) for each chunk. `row` is the row of its first token.
void ForEachChunk(absl::Span<const Chunk> chunks,
                  absl::FunctionRef<void(const Chunk&, int64_t)> fn);

// Copies [offset, offset + size) of the chunk's state, which is the part of the
// state after token `index` that the caller has just computed, to the inner
// state of that token, if the chunk has one.
void KeepInnerState(const Chunk& chunk, int64_t index, int64_t offset,
                    int64_t size);

// Calls fn(row) for each of `num` rows of `width` elements, in parallel.
void ForEachRow(Workspace& workspace, int64_t num, int64_t width,
                absl::FunctionRef<void(int64_t)> fn);

// x [T, C] = norm(embedding row of each token); without the normalization if
// `norm` is empty.
void EmbedTokens(const KernelTable& kernels, Workspace& workspace,
                 absl::Span<const Chunk> chunks, const Matrix& embedding,
                 const LayerNorm& norm, Rows x);

// y [T, C] = norm(x).
void Normalize(const KernelTable& kernels, Workspace& workspace,
               const LayerNorm& norm, Rows x, Rows y);

// One mixture of each token with the previous token.
struct Shift {
  const Vector* mix;  // [C]
  Rows y;             // [T, C]: x * mix + previous * (1 - mix)
};

// Computes `shifts` of x [T, C]. The token before the first one of a chunk is
// the C values at `offset` of the chunk's state; they are then replaced by the
// last x of the chunk. Inner states get the x of their tokens.
void TokenShift(const KernelTable& kernels, Workspace& workspace,
                absl::Span<const Chunk> chunks, int64_t offset, Rows x,
                absl::Span<const Shift> shifts);

// dx [T, C] = x of the previous token - x. Reads and updates the states as
// TokenShift does.
void ShiftDifference(const KernelTable& kernels, Workspace& workspace,
                     absl::Span<const Chunk> chunks, int64_t offset, Rows x,
                     Rows dx);

// x += y; both are [T, any width].
void Add(const KernelTable& kernels, Workspace& workspace, Rows y, Rows x);

// hidden = max(hidden, 0)^2.
void SquaredRelu(const KernelTable& kernels, Workspace& workspace, Rows hidden);

// Calls fn(chunk, row, head) for each head of each chunk, in parallel. `row` is
// the row of the chunk's first token. One call processes all tokens of a head,
// in order; heads are independent of one another.
void ForEachHead(Workspace& workspace, absl::Span<const Chunk> chunks,
                 int64_t num_heads,
                 absl::FunctionRef<void(const Chunk&, int64_t, int64_t)> fn);

// Calls fn(row) for the rows of a head's tokens, [first, first + num), in
// order. Meanwhile prefetches columns [column, column + size) of the next rows
// of `used`: their stride is too large for the hardware prefetcher.
void ForEachToken(int64_t first, int64_t num, absl::Span<const Rows> used,
                  int64_t column, int64_t size,
                  absl::FunctionRef<void(int64_t)> fn);

// Fills the logits that the chunks want: head * norm(x). Rows whose logits
// nobody wants are skipped. Overwrites `scratch` [T, C].
void FillLogits(const KernelTable& kernels, Workspace& workspace,
                absl::Span<const Chunk> chunks, const LayerNorm& norm,
                const Matrix& head, Rows x, Rows scratch);

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_BLOCKS_H_
