// SPDX-License-Identifier: Apache-2.0
#include "core/model/blocks.h"

#include <algorithm>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/checkpoint/ggml_blocks.h"

namespace rwkvd {
namespace {

// The fewest elements per task: less work does not pay for another thread.
constexpr int64_t kMinElements = 4096;

// Rows of x whose logits are contiguous in memory.
struct LogitsGroup {
  int64_t first_row;
  int64_t num;
  float* logits;
};

// Holds the sequences of a usual batch without allocating.
using LogitsGroups = absl::InlinedVector<LogitsGroup, 16>;

// Normalizes the rows whose logits are wanted into the first rows of `y`.
LogitsGroups GatherWanted(const KernelTable& kernels,
                          absl::Span<const Chunk> chunks, const LayerNorm& norm,
                          int64_t vocab_size, Rows x, Rows y) {
  LogitsGroups groups;
  int64_t gathered = 0;
  ForEachChunk(chunks, [&](const Chunk& chunk, int64_t row) {
    const int64_t wanted = chunk.LogitsRows();
    if (wanted == 0) return;
    RWKVD_CHECK(static_cast<int64_t>(chunk.logits.size()) ==
                wanted * vocab_size);
    const int64_t size = static_cast<int64_t>(chunk.tokens.size());
    for (int64_t i = size - wanted; i < size; ++i) {
      kernels.layer_norm(x[row + i], norm.weight.data(), norm.bias.data(),
                         kLayerNormEpsilon, x.width,
                         y[gathered + i - (size - wanted)]);
    }
    if (!groups.empty() &&
        groups.back().logits + groups.back().num * vocab_size ==
            chunk.logits.data()) {
      groups.back().num += wanted;
    } else {
      groups.push_back({gathered, wanted, chunk.logits.data()});
    }
    gathered += wanted;
  });
  return groups;
}

// Remembers the last of the chunk's rows of x, which begin at `first`, at
// `offset` of its state, and each row in the inner state of its token.
void RememberLast(const Chunk& chunk, int64_t first, int64_t offset, Rows x) {
  for (size_t i = 0; i < chunk.inner_states.size(); ++i) {
    std::copy_n(x[first + static_cast<int64_t>(i)], x.width,
                chunk.inner_states[i].values().data() + offset);
  }
  const int64_t last = first + static_cast<int64_t>(chunk.tokens.size()) - 1;
  std::copy_n(x[last], x.width, chunk.state->values().data() + offset);
}

// y [w.cols] = row `index` of `w`.
void CopyRow(const KernelTable& kernels, const Matrix& w, int64_t index,
             float* y) {
  if (IsBlockType(w.dtype)) {
    const int64_t row = w.cols / BlockElements(w.dtype) * BlockBytes(w.dtype);
    return DequantizeBlocks(w.dtype, w.data + index * row, w.cols, y);
  }
  const int64_t size = SizeOf(w.dtype);
  if (!w.transposed) {
    kernels.to_float(w.dtype, w.data + index * w.stride * size, w.cols, y);
    return;
  }
  for (int64_t i = 0; i < w.cols; ++i) {
    kernels.to_float(w.dtype, w.data + (i * w.stride + index) * size, 1, y + i);
  }
}

}  // namespace

LayerNorm TakeLayerNorm(WeightReader& reader, const std::string& name,
                        int64_t size) {
  return {reader.TakeVector(absl::StrCat(name, ".weight"), size),
          reader.TakeVector(absl::StrCat(name, ".bias"), size)};
}

LayerNorm TakeEmbeddingNorm(WeightReader& reader, const ModelConfig& config) {
  if (!config.has_embedding_norm) return {};
  return TakeLayerNorm(reader, "blocks.0.ln0", config.embedding_size);
}

int64_t NumRows(absl::Span<const Chunk> chunks) {
  int64_t rows = 0;
  for (const Chunk& chunk : chunks) {
    rows += static_cast<int64_t>(chunk.tokens.size());
  }
  return rows;
}

void ForEachChunk(absl::Span<const Chunk> chunks,
                  absl::FunctionRef<void(const Chunk&, int64_t)> fn) {
  int64_t row = 0;
  for (const Chunk& chunk : chunks) {
    fn(chunk, row);
    row += static_cast<int64_t>(chunk.tokens.size());
  }
}

void KeepInnerState(const Chunk& chunk, int64_t index, int64_t offset,
                    int64_t size) {
  if (index >= static_cast<int64_t>(chunk.inner_states.size())) return;
  std::copy_n(chunk.state->values().data() + offset, size,
              chunk.inner_states[index].values().data() + offset);
}

void ForEachRow(Workspace& workspace, int64_t num, int64_t width,
                absl::FunctionRef<void(int64_t)> fn) {
  const int64_t per_group = kMinElements / std::max<int64_t>(1, width) + 1;
  const int64_t groups = (num + per_group - 1) / per_group;
  workspace.pool().ParallelFor(groups, [&](int64_t group) {
    const int64_t begin = group * per_group;
    const int64_t end = std::min(num, begin + per_group);
    for (int64_t row = begin; row < end; ++row) fn(row);
  });
}

void EmbedTokens(const KernelTable& kernels, Workspace& workspace,
                 absl::Span<const Chunk> chunks, const Matrix& embedding,
                 const LayerNorm& norm, Rows x) {
  ForEachChunk(chunks, [&](const Chunk& chunk, int64_t first) {
    RWKVD_CHECK(!chunk.tokens.empty());
    ForEachRow(workspace, chunk.tokens.size(), x.width, [&](int64_t i) {
      const int32_t token = chunk.tokens[i];
      RWKVD_CHECK(token >= 0 && token < embedding.rows);
      float* row = x[first + i];
      CopyRow(kernels, embedding, token, row);
      if (norm.weight.empty()) return;
      kernels.layer_norm(row, norm.weight.data(), norm.bias.data(),
                         kLayerNormEpsilon, x.width, row);
    });
  });
}

void Normalize(const KernelTable& kernels, Workspace& workspace,
               const LayerNorm& norm, Rows x, Rows y) {
  ForEachRow(workspace, x.num, x.width, [&](int64_t row) {
    kernels.layer_norm(x[row], norm.weight.data(), norm.bias.data(),
                       kLayerNormEpsilon, x.width, y[row]);
  });
}

void ShiftDifference(const KernelTable& kernels, Workspace& workspace,
                     absl::Span<const Chunk> chunks, int64_t offset, Rows x,
                     Rows dx) {
  ForEachChunk(chunks, [&](const Chunk& chunk, int64_t first) {
    const float* const remembered = chunk.state->values().data() + offset;
    const int64_t size = static_cast<int64_t>(chunk.tokens.size());
    ForEachRow(workspace, size, x.width, [&](int64_t i) {
      const float* previous = i == 0 ? remembered : x[first + i - 1];
      kernels.sub(previous, x[first + i], x.width, dx[first + i]);
    });
    RememberLast(chunk, first, offset, x);
  });
}

void Add(const KernelTable& kernels, Workspace& workspace, Rows y, Rows x) {
  ForEachRow(workspace, x.num, x.width,
             [&](int64_t row) { kernels.add(y[row], x.width, x[row]); });
}

void SquaredRelu(const KernelTable& kernels, Workspace& workspace,
                 Rows hidden) {
  ForEachRow(workspace, hidden.num, hidden.width, [&](int64_t row) {
    kernels.squared_relu(hidden.width, hidden[row]);
  });
}

void ForEachHead(Workspace& workspace, absl::Span<const Chunk> chunks,
                 int64_t num_heads,
                 absl::FunctionRef<void(const Chunk&, int64_t, int64_t)> fn) {
  absl::InlinedVector<int64_t, 64> first_rows;
  ForEachChunk(chunks,
               [&](const Chunk&, int64_t row) { first_rows.push_back(row); });
  const int64_t num_chunks = static_cast<int64_t>(chunks.size());
  workspace.pool().ParallelFor(num_chunks * num_heads, [&](int64_t index) {
    const int64_t chunk = index / num_heads;
    fn(chunks[chunk], first_rows[chunk], index % num_heads);
  });
}

void ForEachToken(int64_t first, int64_t num, absl::Span<const Rows> used,
                  int64_t column, int64_t size,
                  absl::FunctionRef<void(int64_t)> fn) {
  // The prefetch distance in tokens: one takes about as long as a cache miss.
  constexpr int64_t kAhead = 2;
  constexpr int64_t kFloatsPerLine = 16;
  for (int64_t row = first; row < first + num; ++row) {
    if (row + kAhead < first + num) {
      for (const Rows& rows : used) {
        const float* const next = rows[row + kAhead] + column;
        for (int64_t i = 0; i < size; i += kFloatsPerLine) {
          __builtin_prefetch(next + i);
        }
      }
    }
    fn(row);
  }
}

void TokenShift(const KernelTable& kernels, Workspace& workspace,
                absl::Span<const Chunk> chunks, int64_t offset, Rows x,
                absl::Span<const Shift> shifts) {
  ForEachChunk(chunks, [&](const Chunk& chunk, int64_t first) {
    const float* const remembered = chunk.state->values().data() + offset;
    const int64_t size = static_cast<int64_t>(chunk.tokens.size());
    ForEachRow(workspace, size, x.width, [&](int64_t i) {
      const float* previous = i == 0 ? remembered : x[first + i - 1];
      for (const Shift& shift : shifts) {
        kernels.token_shift(x[first + i], previous, shift.mix->data(), x.width,
                            shift.y[first + i]);
      }
    });
    RememberLast(chunk, first, offset, x);
  });
}

void FillLogits(const KernelTable& kernels, Workspace& workspace,
                absl::Span<const Chunk> chunks, const LayerNorm& norm,
                const Matrix& head, Rows x, Rows scratch) {
  const LogitsGroups groups =
      GatherWanted(kernels, chunks, norm, head.rows, x, scratch);
  absl::InlinedVector<MatMulOperands, 16> matmuls;
  for (const LogitsGroup& group : groups) {
    matmuls.push_back({&head,
                       {scratch[group.first_row], group.num, scratch.width},
                       {group.logits, group.num, head.rows}});
  }
  MatMulIntoScatteredRows(kernels, workspace, matmuls);
}

}  // namespace rwkvd
