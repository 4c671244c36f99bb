// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_LOGIT_KERNELS_H_
#define RWKVD_CORE_SAMPLING_LOGIT_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rwkvd {

// A row of logits is processed in blocks of this many; the last block may be
// shorter.
inline constexpr size_t kLogitBlock = 64;

inline constexpr size_t NumLogitBlocks(size_t n) {
  return (n + kLogitBlock - 1) / kLogitBlock;
}

// Functions over a row of n logits, for one instruction set. They skip NaN and
// infinities. Arrays need no alignment and do not overlap.
//
// Constant and thread-safe. The results of all tables are bit-identical:
// additions have one fixed order, and multiplications are not fused with them.
struct LogitKernels {
  // The instruction set: "AVX3" (AVX-512), "AVX2", "SSE4", "NEON", ...
  const char* name;

  // maxima[b] = the largest logit of block b; -infinity if it has none.
  void (*block_max)(const float* logits, size_t n, float* maxima);

  // sums[b] = sum over block b of Exp(logit - largest, scale). No logit is
  // above `largest`; scale > 0.
  void (*block_sum_exp)(const float* logits, size_t n, float largest,
                        double scale, double* sums);

  // weights[i] = Exp(logits[i] - largest, scale). All logits are finite and not
  // above `largest`; scale > 0.
  void (*exp)(const float* logits, size_t n, float largest, double scale,
              double* weights);

  // Writes the indices of the logits >= `lowest` to ids [n], in ascending
  // order, and returns their number.
  size_t (*find_at_least)(const float* logits, size_t n, float lowest,
                          int32_t* ids);
};

// Returns the table for the widest instruction set of this processor.
const LogitKernels& BestLogitKernels();

// Returns all tables that this processor can run, best first.
const std::vector<const LogitKernels*>& SupportedLogitKernels();

// Returns e^(x * scale) for x <= 0 and scale > 0, and 0 for results below
// 2^-1022. The error is at most 2 + |x * scale| units in the last place.
// Bit-identical to the terms of block_sum_exp and to the results of exp.
double Exp(double x, double scale = 1);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_LOGIT_KERNELS_H_
