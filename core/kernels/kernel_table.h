// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_KERNELS_KERNEL_TABLE_H_
#define RWKVD_CORE_KERNELS_KERNEL_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/base/dtype.h"
#include "core/kernels/quant/layout.h"

namespace rwkvd {

// Weights [rows, cols] of `dtype`, at any alignment, times the rows of x:
// y[i][r] = sum over c of w[r][c] * x[i][c]. They are stored as rows, w_stride
// apart, or, if `transposed`, as columns: the same sums in the same order
// either way, so that the result is the same, bit for bit.
struct MatMulArgs {
  DType dtype = DType::kF32;
  bool transposed = false;
  const void* w = nullptr;
  int64_t w_stride = 0;  // in elements, from a stored row (column) to the next
  int64_t cols = 0;
  int64_t num_x = 0;         // rows of x and y
  const float* x = nullptr;  // [num_x, cols], rows x_stride apart
  int64_t x_stride = 0;      // in elements
  float* y = nullptr;        // [num_x, rows], rows y_stride apart
  int64_t y_stride = 0;
};

// The recurrence of RWKV-4 over n channels; see KernelTable::wkv4.
struct Wkv4Args {
  const float* k;
  const float* v;
  const float* r;      // receptance, before the sigmoid
  const float* decay;  // w = -exp(time_decay)
  const float* bonus;  // u = time_first
  float* aa;           // numerator, scaled by exp(-pp); updated
  float* bb;           // denominator, scaled by exp(-pp); updated
  float* pp;           // the exponent that keeps both in range; updated
  float* out;
};

// The recurrence of RWKV-5 and 6 over a head of n channels; see
// KernelTable::wkv6.
struct Wkv6Args {
  const float* r;  // receptance
  const float* k;
  const float* v;
  const float* decay;  // w, in (0, 1)
  const float* bonus;  // u
  float* state;        // [n key][n value]; updated
  float* out;
};

// The recurrence of RWKV-7 over a head of n channels; see KernelTable::wkv7.
struct Wkv7Args {
  const float* r;  // receptance
  const float* k;  // what is written
  const float* v;
  const float* decay;  // w, in (0, 1)
  const float* kk;     // what is removed: a key of length 1
  const float* a;      // in-context learning rate, in (0, 1)
  float* state;        // [n key][n value]; updated
  float* out;
};

// The arithmetic of the models for one instruction set. Arrays are f32 unless
// said otherwise, hold n elements, and need no alignment; outputs may be the
// inputs themselves, not otherwise overlap them.
//
// Constant and thread-safe. Batch-invariant: what a function computes for one
// row is the same, bit for bit, whatever rows are computed beside it and
// however the work is cut.
struct KernelTable {
  // The instruction set: "AVX3" (AVX-512), "AVX2", "SSE4", "NEON", ...; with an
  // extension, as "AVX3_VNNI", where the processor has dot products of bytes,
  // or "AVX3_AMX", where it has tiles.
  const char* name;

  // Rows [row_begin, row_end) of the product, for all rows of x.
  void (*matmul)(const MatMulArgs& args, int64_t row_begin, int64_t row_end);

  // Whether products with weights of 8 bits take x as
  // QuantizedActivations::pairs.
  bool wants_int16_activations;

  // Row `row` of `to`, in those of its forms that are there, from x [to.cols]:
  // each group's scale makes its largest magnitude the largest number, and
  // x / scale is rounded to nearest, ties to even. Returns how many became
  // zero.
  int64_t (*quantize_row)(const float* x, const QuantizedActivations& to,
                          int64_t row);

  // Panels or blocks [begin, end) of the product of quantized weights, for all
  // rows of x.
  void (*quantized_matmul)(const QuantizedMatMulArgs& args, int64_t begin,
                           int64_t end);

  // dst = src of `dtype`, at any alignment.
  void (*to_float)(DType dtype, const void* src, size_t n, float* dst);

  // y = (x - mean) / sqrt(variance + eps) * weight + bias.
  void (*layer_norm)(const float* x, const float* weight, const float* bias,
                     float eps, size_t n, float* y);

  // y = x * mix + previous * (1 - mix): token shift.
  void (*token_shift)(const float* x, const float* previous, const float* mix,
                      size_t n, float* y);

  // One token of time mixing (arXiv 2305.13048, appendix D, the form that
  // cannot overflow):
  //   q = max(pp, u + k)   wkv = (e^(pp-q) aa + e^(u+k-q) v) / (same of bb, 1)
  //   q = max(pp + w, k)   aa = e^(pp+w-q) aa + e^(k-q) v, bb likewise, pp = q
  //   out = sigmoid(r) * wkv
  void (*wkv4)(const Wkv4Args& args, size_t n);

  // One token of one head (arXiv 2404.05892, section 4.1.2 and 4.2.2), with S
  // the state and i, j the channels of key and value:
  //   out_j = sum over i of r_i (u_i k_i v_j + S_ij)
  //   S_ij  = w_i S_ij + k_i v_j
  void (*wkv6)(const Wkv6Args& args, size_t n);

  // One token of one head (arXiv 2503.14456, section 4: the generalised delta
  // rule), with S the state and i, j the channels of key and value:
  //   S_ij  = w_i S_ij - kk_i a_i (sum over l of kk_l S_lj) + k_i v_j
  //   out_j = sum over i of r_i S_ij, with the new S
  void (*wkv7)(const Wkv7Args& args, size_t n);

  // x += y.
  void (*add)(const float* y, size_t n, float* x);

  // x *= y.
  void (*mul)(const float* y, size_t n, float* x);

  // y = a - b.
  void (*sub)(const float* a, const float* b, size_t n, float* y);

  // y = a + b * c.
  void (*mul_add)(const float* a, const float* b, const float* c, size_t n,
                  float* y);

  // x += (target - x) * amount.
  void (*lerp)(const float* target, const float* amount, size_t n, float* x);

  // x += sigmoid(gate) * y.
  void (*add_gated)(const float* gate, const float* y, size_t n, float* x);

  // x *= gate * sigmoid(gate).
  void (*mul_silu)(const float* gate, size_t n, float* x);

  // x = max(x, 0)^2.
  void (*squared_relu)(size_t n, float* x);

  void (*sigmoid)(size_t n, float* x);
  void (*tanh)(size_t n, float* x);

  // x = exp(-exp(x)): the decay of RWKV-6.
  void (*decay6)(size_t n, float* x);

  // x = exp(-sigmoid(x) / sqrt(e)): the decay of RWKV-7.
  void (*decay7)(size_t n, float* x);

  // x /= max(|x|, 1e-12).
  void (*normalize)(size_t n, float* x);

  // k *= 1 + (a - 1) * mix: the replacement key of RWKV-7.
  void (*scale_key)(const float* a, const float* mix, size_t n, float* k);

  // x += v * sum of r * k * weight: what a head of RWKV-7 adds for the token
  // itself.
  void (*add_bonus)(const float* r, const float* k, const float* weight,
                    const float* v, size_t n, float* x);
};

// The table for the widest instruction set that this processor has.
const KernelTable& BestKernels();

// Every table that this processor can run, best first.
const std::vector<const KernelTable*>& SupportedKernels();

// The supported table of that name (case ignored), or nullptr.
const KernelTable* FindKernels(absl::string_view name);

}  // namespace rwkvd

#endif  // RWKVD_CORE_KERNELS_KERNEL_TABLE_H_
