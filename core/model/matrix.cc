// SPDX-License-Identifier: Apache-2.0
#include "core/model/matrix.h"

#include <algorithm>

#include "absl/container/inlined_vector.h"
#include "core/base/check.h"
#include "core/model/matmul_interceptor.h"

namespace rwkvd {
namespace {

// A block is the rows of weights that one thread takes at a time. Large enough
// to outweigh the handing over (some tens of nanoseconds of arithmetic each),
// small enough that its weights stay in the second-level cache while all rows
// of x pass by, and that threads do not wait long for the last one.
constexpr int64_t kMinBlockWork = 1 << 16;         // multiplications
constexpr int64_t kMaxBlockBytes = 1 << 18;        // of weights
constexpr int64_t kQuantizedBlockBytes = 1 << 16;  // they are done faster
// Of these rows at least, where x has many, so that x is not read for so few.
constexpr int64_t kManyX = 16;
constexpr int64_t kMinRowsOfMany = 32;
// And where it has as many as a prompt, so that it comes from afar less often.
constexpr int64_t kPromptX = 64;
constexpr int64_t kMaxRowsOfPrompt = 128;
constexpr int64_t kMaxBlockBytesOfPrompt = 1 << 20;
// Of 16 bits, whose x may be made ready for each block: as many rows as leave
// every thread some blocks, up to these, for one row of x, few and many.
constexpr int64_t kMostRows16[] = {128, 256, 512};
constexpr int64_t kRowMultiple16 = 32;
// Of the kernels' tiles: four rows, or, of weights stored as columns, a cache
// line of them; four panels of quantized weights.
constexpr int64_t kRowMultiple = 4;
constexpr int64_t kTransposedRowMultiple = 32;
// Of weights stored as columns for few rows of x: runs that memory likes.
constexpr int64_t kTransposedRows = 256;
constexpr int64_t kPanelMultiple = 4;
// Of panels for many rows of x, which are made ready before: while some are
// multiplied, the next ones of the block come from memory.
constexpr int64_t kManyXPanels = 32;
constexpr int64_t kManyXPanelMultiple = 8;
constexpr int64_t kBlocksPerThread = 4;

// Elements of x that are worth another thread's help to quantize.
constexpr int64_t kMinElements = 16384;

int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// The blocks of a matrix, in rows, or in panels or blocks of quantized weights.
struct Blocks {
  int64_t size;
  int64_t end;
  int64_t num() const { return (end + size - 1) / size; }
};

Blocks BlocksOf(const QuantizedWeights& w, int64_t num_x, int64_t threads) {
  const int64_t blocks = NumPackedBlocks(w.type, w.order, w.rows);
  if (w.order == QuantOrder::kColumnBlocks) return {1, blocks};
  if (num_x >= kManyX) {
    const int64_t shared = blocks / (kBlocksPerThread * threads);
    return {RoundUp(std::clamp<int64_t>(shared, 1, kManyXPanels),
                    kManyXPanelMultiple),
            blocks};
  }
  const int64_t bytes = PackedBlockBytes(w.type, w.order, w.cols);
  return {RoundUp(std::max<int64_t>(1, kQuantizedBlockBytes / bytes),
                  kPanelMultiple),
          blocks};
}

// For a product with `num_x` rows on so many threads.
Blocks BlocksOf(const Matrix& w, int64_t num_x, int64_t threads) {
  if (w.quantized.has_value()) return BlocksOf(*w.quantized, num_x, threads);
  const int64_t row_work = std::max<int64_t>(1, w.cols * num_x);
  const int64_t row_bytes =
      std::max<int64_t>(1, w.cols * static_cast<int64_t>(SizeOf(w.dtype)));
  const bool is_many = num_x >= kManyX;
  const int64_t shared = w.rows / (kBlocksPerThread * threads);
  int64_t wanted = kMinBlockWork / row_work + 1, bytes = kMaxBlockBytes;
  if (is_many) wanted = std::max(wanted, kMinRowsOfMany);
  if (num_x >= kPromptX) {
    wanted = std::max(wanted, std::min(shared, kMaxRowsOfPrompt));
    bytes = kMaxBlockBytesOfPrompt;
  }
  if (w.transposed && !is_many) return {kTransposedRows, w.rows};
  if (w.dtype != DType::kF32) {
    const int64_t most = kMostRows16[num_x == 1 ? 0 : is_many ? 2 : 1];
    return {RoundUp(std::min(most, std::max(wanted, shared)), kRowMultiple16),
            w.rows};
  }
  const int64_t cached = std::max<int64_t>(1, bytes / row_bytes);
  return {RoundUp(std::min(wanted, cached),
                  w.transposed ? kTransposedRowMultiple : kRowMultiple),
          w.rows};
}

// `x` is the quantized form of the product's, if its weights are.
void RunBlock(const KernelTable& kernels, const Product& product,
              const QuantizedActivations& x, const Blocks& blocks,
              int64_t block) {
  const Matrix& w = *product.w;
  const int64_t begin = block * blocks.size;
  const int64_t end = std::min(begin + blocks.size, blocks.end);
  if (w.quantized.has_value()) {
    kernels.quantized_matmul({*w.quantized, x, product.y.data, product.y.width},
                             begin, end);
    return;
  }
  kernels.matmul({.dtype = w.dtype,
                  .transposed = w.transposed,
                  .w = w.data,
                  .w_stride = w.stride,
                  .cols = w.cols,
                  .num_x = product.x.num,
                  .x = product.x.data,
                  .x_stride = product.x.width,
                  .y = product.y.data,
                  .y_stride = product.y.width},
                 begin, end);
}

void CheckSizes(const Product& product) {
  RWKVD_CHECK(product.x.width == product.w->cols);
  RWKVD_CHECK(product.y.width == product.w->rows);
  RWKVD_CHECK(product.x.num == product.y.num);
}

// ---- x for quantized weights.

using QuantizedInputs = absl::InlinedVector<QuantizedActivations, 8>;

// Lays out what `product` needs from `at` on; returns the end of it.
int64_t LayOut(const KernelTable& kernels, const Product& product,
               std::byte* scratch, int64_t at, QuantizedActivations* rows) {
  const auto take = [&](int64_t size) {
    std::byte* const taken = scratch == nullptr ? nullptr : scratch + at;
    at += RoundUp(size, 64);
    return taken;
  };
  const QuantizedWeights& w = *product.w->quantized;
  const int64_t num = product.x.num, cols = product.x.width;
  rows->num = num;
  rows->cols = cols;
  rows->int16_activations = w.int16_activations;
  // So that a cache has room for neighbouring groups.
  rows->apart = num % 64 == 0 ? num + 16 : num;
  const int64_t scales = rows->groups() * rows->apart;
  const bool pairs =
      kernels.wants_int16_activations && w.type == QuantType::kInt8;
  const auto digits = [&] {
    return reinterpret_cast<int8_t*>(take(scales * kGroupCols));
  };
  if (pairs) {
    const int64_t bytes = scales * kGroupCols * sizeof(int16_t);
    rows->pairs = reinterpret_cast<int16_t*>(take(bytes));
  }
  if (!pairs || !w.int16_activations) rows->q = digits();
  if (!pairs && w.int16_activations) rows->low = digits();
  rows->scales = reinterpret_cast<float*>(take(scales * sizeof(float)));
  rows->offsets = reinterpret_cast<int32_t*>(take(scales * sizeof(int32_t)));
  return at;
}

// Tells of the zeros in a row of x, if its columns are skipped for them.
void NoteZeros(const Product& product, int64_t zeros, Workspace& workspace) {
  if (product.w->quantized->order != QuantOrder::kColumnBlocks) return;
  workspace.NoteInputs(product.x.width, zeros);
}

// Of all `products` that need it, x quantized; empty for the others.
QuantizedInputs Quantize(const KernelTable& kernels, Workspace& workspace,
                         absl::Span<const Product> products) {
  QuantizedInputs inputs(products.size());
  std::byte* scratch = nullptr;
  for (const bool measure : {true, false}) {
    int64_t size = 0;
    for (size_t i = 0; i < products.size(); ++i) {
      if (!products[i].w->quantized.has_value()) continue;
      size = LayOut(kernels, products[i], scratch, size, &inputs[i]);
    }
    if (measure) scratch = workspace.Scratch(size);
  }
  int64_t elements = 0, most_rows = 0;
  for (const QuantizedActivations& input : inputs) {
    elements += input.num * input.cols;
    most_rows = std::max(most_rows, input.num);
  }
  const auto quantize = [&](int64_t row) {
    for (size_t i = 0; i < products.size(); ++i) {
      if (row >= inputs[i].num) continue;
      const int64_t zeros =
          kernels.quantize_row(products[i].x[row], inputs[i], row);
      if (row == 0) NoteZeros(products[i], zeros, workspace);
    }
  };
  if (elements >= kMinElements) {
    workspace.pool().ParallelFor(most_rows, quantize);
  } else {
    for (int64_t row = 0; row < most_rows; ++row) quantize(row);
  }
  return inputs;
}

// Rows [first, first + num) of x.
QuantizedActivations Part(QuantizedActivations x, int64_t first, int64_t num) {
  x.num = num;
  const int64_t digits = first * kGroupCols;
  if (x.q != nullptr) x.q += digits;
  if (x.low != nullptr) x.low += digits;
  if (x.pairs != nullptr) x.pairs += digits;
  x.scales += first;
  x.offsets += first;
  return x;
}

using Products = absl::InlinedVector<Product, 16>;

// `products` with the matrices that the interceptor, if there is one, returns.
Products Intercepted(Workspace& workspace, absl::Span<const Product> products) {
  Products intercepted(products.begin(), products.end());
  for (Product& product : intercepted) {
    CheckSizes(product);
    if (workspace.interceptor() == nullptr) continue;
    product.w = &workspace.interceptor()->Intercept(*product.w, product.x);
  }
  return intercepted;
}

}  // namespace

void MatMul(const KernelTable& kernels, Workspace& workspace,
            absl::Span<const Product> wanted) {
  const Products products = Intercepted(workspace, wanted);
  absl::InlinedVector<Blocks, 8> blocks;
  int64_t num_blocks = 0;
  for (const Product& product : products) {
    blocks.push_back(
        BlocksOf(*product.w, product.x.num, workspace.pool().num_threads()));
    num_blocks += blocks.back().num();
  }
  const QuantizedInputs inputs = Quantize(kernels, workspace, products);
  workspace.pool().ParallelFor(num_blocks, [&](int64_t block) {
    for (size_t i = 0; i < products.size(); ++i) {
      if (block < blocks[i].num()) {
        return RunBlock(kernels, products[i], inputs[i], blocks[i], block);
      }
      block -= blocks[i].num();
    }
  });
}

void MatMulIntoScatteredRows(const KernelTable& kernels, Workspace& workspace,
                             absl::Span<const Product> products) {
  if (products.empty()) return;
  Product all = products[0];
  for (const Product& product : products) {
    CheckSizes(product);
    RWKVD_CHECK(product.w == all.w);
    all.x.num = (product.x[product.x.num] - all.x.data) / all.x.width;
  }
  all.y.num = all.x.num;
  all = Intercepted(workspace, {&all, 1})[0];
  const QuantizedInputs inputs = Quantize(kernels, workspace, {&all, 1});
  const Blocks blocks =
      BlocksOf(*all.w, all.x.num, workspace.pool().num_threads());
  workspace.pool().ParallelFor(blocks.num(), [&](int64_t block) {
    for (Product product : products) {
      const int64_t first = (product.x.data - all.x.data) / all.x.width;
      const QuantizedActivations x = all.w->quantized.has_value()
                                         ? Part(inputs[0], first, product.x.num)
                                         : QuantizedActivations();
      product.w = all.w;
      RunBlock(kernels, product, x, blocks, block);
    }
  });
}

}  // namespace rwkvd
