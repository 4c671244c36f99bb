// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_LOGIT_KERNELS_H_
#define RWKVD_CORE_SAMPLING_LOGIT_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rwkvd {

// Rows of logits are looked at in blocks of this many; the last may be shorter.
inline constexpr size_t kLogitBlock = 64;

inline constexpr size_t NumLogitBlocks(size_t n) {
  return (n + kLogitBlock - 1) / kLogitBlock;
}

// Passes over a row of n logits, for one instruction set. NaN and infinities
// count as no logit at all. Arrays need no alignment and do not overlap.
//
// Constant and thread-safe. Every table gives the same results, bit for bit:
// the additions have one fixed order, and no multiplication is fused with one.
struct LogitKernels {
  // The instruction set: "AVX3" (AVX-512), "AVX2", "SSE4", "NEON", ...
  const char* name;

  // maxima[b] = the largest logit of block b; -infinity if it has none.
  void (*block_max)(const float* logits, size_t n, float* maxima);

  // sums[b] = sum over block b of Exp(logit - largest, scale). `largest` is not
  // exceeded by any; scale > 0.
  void (*block_sum_exp)(const float* logits, size_t n, float largest,
                        double scale, double* sums);

  // weights[i] = Exp(logits[i] - largest, scale) for logits that are finite and
  // not above `largest`.
  void (*exp)(const float* logits, size_t n, float largest, double scale,
              double* weights);

  // Writes the places of the logits of at least `lowest` to ids [n], in order;
  // returns how many.
  size_t (*find_at_least)(const float* logits, size_t n, float lowest,
                          int32_t* ids);
};

// The table for the widest instruction set that this processor has.
const LogitKernels& BestLogitKernels();

// Every table that this processor can run, best first.
const std::vector<const LogitKernels*>& SupportedLogitKernels();

// e^(x * scale) for x <= 0 and scale > 0; 0 below 2^-1022. Of
// y = x * scale, the result is off by at most (2 + |y|) units in the last
// place. What block_sum_exp adds up: the same number, bit for bit.
double Exp(double x, double scale = 1);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_LOGIT_KERNELS_H_
