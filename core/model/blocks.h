// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_BLOCKS_H_
#define RWKVD_CORE_MODEL_BLOCKS_H_

// What the networks of all versions share: rows in, rows out. C is the width
// of the residual stream, T the rows of a call (the tokens of all its chunks,
// one behind the other). Everything runs on the workspace's pool and is
// batch-invariant. Engine thread only.

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

// A layer normalisation's parameters, [C] each.
struct LayerNorm {
  Vector weight;
  Vector bias;
};

// Of the embedding; empty in a network that has none.
LayerNorm TakeEmbeddingNorm(WeightReader& reader, const ModelConfig& config);

LayerNorm TakeLayerNorm(WeightReader& reader, const std::string& name,
                        int64_t size);

// The rows that `chunks` make up together.
int64_t NumRows(absl::Span<const Chunk> chunks);

// Calls fn(chunk, row) for each chunk, `row` being that of its first token.
void ForEachChunk(absl::Span<const Chunk> chunks,
                  absl::FunctionRef<void(const Chunk&, int64_t)> fn);

// Calls fn(row) for each of `num` rows of `width`, side by side.
void ForEachRow(Workspace& workspace, int64_t num, int64_t width,
                absl::FunctionRef<void(int64_t)> fn);

// x [T, C] = norm(embedding row of each token), or, of a network whose `norm`
// is empty, the row itself.
void Embed(const KernelTable& kernels, Workspace& workspace,
           absl::Span<const Chunk> chunks, const Matrix& embedding,
           const LayerNorm& norm, Rows x);

// y [T, C] = norm(x).
void Normalize(const KernelTable& kernels, Workspace& workspace,
               const LayerNorm& norm, Rows x, Rows y);

// One mixture of a token with the one before it.
struct Shift {
  const Vector* mix;  // [C]
  Rows y;             // [T, C]: x * mix + previous * (1 - mix)
};

// Computes `shifts` of x [T, C]. The token before a chunk's first is the C
// values at `offset` of its state, which then become the chunk's last x.
void TokenShift(const KernelTable& kernels, Workspace& workspace,
                absl::Span<const Chunk> chunks, int64_t offset, Rows x,
                absl::Span<const Shift> shifts);

// dx [T, C] = previous token's x - x. What came before a chunk's first token is
// remembered as for TokenShift.
void ShiftDifference(const KernelTable& kernels, Workspace& workspace,
                     absl::Span<const Chunk> chunks, int64_t offset, Rows x,
                     Rows dx);

// x += y, both [T, any width].
void Add(const KernelTable& kernels, Workspace& workspace, Rows y, Rows x);

// Calls fn(chunk, row, head) for each head of each chunk, `row` being that of
// the chunk's first token, side by side: a head's tokens follow one another,
// heads do not meet.
void ForEachHead(Workspace& workspace, absl::Span<const Chunk> chunks,
                 int64_t num_heads,
                 absl::FunctionRef<void(const Chunk&, int64_t, int64_t)> fn);

// Calls fn(row) for the rows of a head's tokens, [first, first + num), in
// order. Meanwhile fetches columns [column, column + size) of the next rows of
// `used`, which are so far apart that the processor does not foresee them.
void ForEachToken(int64_t first, int64_t num, absl::Span<const Rows> used,
                  int64_t column, int64_t size,
                  absl::FunctionRef<void(int64_t)> fn);

// Fills the logits that chunks want: head * norm(x). Rows that nobody wants
// are skipped. `scratch` [T, C] is overwritten.
void Head(const KernelTable& kernels, Workspace& workspace,
          absl::Span<const Chunk> chunks, const LayerNorm& norm,
          const Matrix& head, Rows x, Rows scratch);

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_BLOCKS_H_
