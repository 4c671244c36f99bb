// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_KERNELS_KERNEL_TABLE_H_
#define RWKVD_CORE_KERNELS_KERNEL_TABLE_H_

#include <cstddef>
#include <cstdint>

#include "core/base/dtype.h"
#include "core/kernels/gemm/matmul_args.h"
#include "core/kernels/ggml/matmul_args.h"
#include "core/kernels/quant/activations.h"
#include "core/kernels/quant/matmul_args.h"
#include "core/kernels/wkv.h"

namespace rwkvd {

// The arithmetic of the models for one instruction set. Arrays are f32 unless
// said otherwise, hold n elements, and need no alignment. An output may be one
// of the inputs itself, but must not overlap an input otherwise.
//
// Constant and thread-safe. Batch-invariant: the result for one row is
// bit-identical whatever other rows are in the same call and however the work
// is split into calls.
struct KernelTable {
  // The instruction set: "AVX3" (AVX-512), "AVX2", "SSE4", "NEON" and so on, or
  // an extension of it: "AVX3_VNNI" (and "AVX2_VNNI", "NEON_DOT") where the
  // processor has dot products of bytes, "AVX3_AMX" where it has tiles.
  const char* name;

  // Rows [row_begin, row_end) of weights times all rows of x: the elements
  // [row_begin, row_end) of every row of y.
  void (*matmul)(const MatMulArgs& args, int64_t row_begin, int64_t row_end);

  // Whether matmuls with int8 weights, and those with weights of GGML's block
  // types, take the activations as QuantizedActivations::permuted_int16. If
  // HasNarrowQuants, that is so for int16 activations only.
  bool wants_int16_activations;

  // Quantizes x [to.cols] into row `row` of `to`, in those forms whose arrays
  // are not null. In each group, the scale maps the largest magnitude to the
  // largest integer, and x / scale is rounded to nearest, ties to even. Returns
  // the number of elements that became zero.
  int64_t (*quantize_row)(const float* x, const QuantizedActivations& to,
                          int64_t row);

  // Packed blocks [begin, end) of quantized weights times all rows of x: the
  // elements of every row of y that belong to these blocks' rows.
  void (*quantized_matmul)(const QuantizedMatMulArgs& args, int64_t begin,
                           int64_t end);

  // The same for panels [begin, end) of weights of a GGML block type.
  void (*ggml_matmul)(const GgmlMatMulArgs& args, int64_t begin, int64_t end);

  // dst = src widened from `dtype`; src has any alignment.
  void (*to_float)(DType dtype, const void* src, size_t n, float* dst);

  // y = (x - mean) / sqrt(variance + eps) * weight + bias.
  void (*layer_norm)(const float* x, const float* weight, const float* bias,
                     float eps, size_t n, float* y);

  // Token shift: y = x * mix + previous * (1 - mix).
  void (*token_shift)(const float* x, const float* previous, const float* mix,
                      size_t n, float* y);

  // One token of RWKV-4's time mixing (arXiv 2305.13048, appendix D, in the
  // form that cannot overflow):
  //   q = max(pp, u + k)   wkv = (e^(pp-q) aa + e^(u+k-q) v) / (same of bb, 1)
  //   q = max(pp + w, k)   aa = e^(pp+w-q) aa + e^(k-q) v, bb likewise, pp = q
  //   out = sigmoid(r) * wkv
  void (*wkv4)(const Wkv4Args& args, size_t n);

  // One token of one head of RWKV-5 or 6 (arXiv 2404.05892, sections 4.1.2 and
  // 4.2.2). S is the state; i and j are the channels of key and value:
  //   out_j = sum over i of r_i (u_i k_i v_j + S_ij)
  //   S_ij  = w_i S_ij + k_i v_j
  void (*wkv6)(const Wkv6Args& args, size_t n);

  // One token of one head of RWKV-7 (arXiv 2503.14456, section 4: the
  // generalized delta rule). S is the state; i and j are the channels of key
  // and value:
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

  // RWKV-6's decay: x = exp(-exp(x)).
  void (*decay6)(size_t n, float* x);

  // RWKV-7's decay: x = exp(-sigmoid(x) / sqrt(e)).
  void (*decay7)(size_t n, float* x);

  // x /= max(|x|, 1e-12).
  void (*normalize)(size_t n, float* x);

  // RWKV-7's replacement key: k *= 1 + (a - 1) * mix.
  void (*scale_key)(const float* a, const float* mix, size_t n, float* k);

  // RWKV-7's bonus for the token itself, in one head:
  // x += v * sum of r * k * weight.
  void (*add_bonus)(const float* r, const float* k, const float* weight,
                    const float* v, size_t n, float* x);
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_KERNELS_KERNEL_TABLE_H_
