// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_GPTQ_GPTQ_FACTORS_H_
#define RWKVD_TOOLS_RWKV_CONVERT_GPTQ_GPTQ_FACTORS_H_

#include <cstdint>
#include <optional>
#include <vector>

namespace rwkvd {

// How columns of a matrix make up for the rounding of others, when they are
// rounded one after another (gptq_quantize.h). A value.
//
// Where H is the Hessian (second moments) of the inputs, in the order of
// rounding, H = F D F^T with D diagonal and F upper triangular, its diagonal 1.
// Rounding that leaves the errors e (of a row; what it was less what it is)
// adds e H e^T to the squared error of the output, which is the sum over k of
//   D[k] * (e[k] + sum over i < k of e[i] * F[i][k])^2.
// So column k is to become what it was and that inner sum, once the columns
// before it are known: GPTQ, in the form of LDLQ.
struct GptqFactors {
  // The order of rounding: groups of kGroupCols neighbours, one behind the
  // other, each in an order of its own.
  std::vector<int32_t> order;
  // F, row-major.
  std::vector<float> factor;
  // D.
  std::vector<float> spread;
  // What corrects rows before any of this, for inputs x that were to be x'; to
  // be added to what MakeGptqFactors gives: the sums of (x' - x) x^T, [cols,
  // cols] row-major; empty: nothing. Rows of weights that become
  //   w + part * (w wanted + its row of added) H^-1
  // give outputs that come closest to those for x', larger by numbers whose
  // sums with x are `added` [rows, cols] (empty: by none), if `part` is 1.
  std::vector<float> wanted;
  std::vector<float> added;
  float part = 0;

  int64_t cols() const { return static_cast<int64_t>(order.size()); }
};

// Of the mean second moment, what is added to each of a column with itself.
inline constexpr double kHessianDamping = 0.01;

// Of a correction from sums over `num` rows, num / (num + kCorrectionDoubt *
// cols) is made: most of what inputs lack is chance, which of few rows looks as
// if it were not.
inline constexpr int64_t kCorrectionDoubt = 8;

// From the sums of the products of each two of `cols` inputs (a multiple of
// kGroupCols) over `num` rows: [cols, cols] row-major, of which the lower
// triangle is read. Those of two columns are taken for num / (num + cols) of
// what they are: few rows say little of how columns go together.
//
// What moves the output most is rounded first, so that the most is left to make
// up for it. Nothing: a sum is not finite. Takes 8 * cols^2 bytes beside the
// result.
std::optional<GptqFactors> MakeGptqFactors(const float* sums, int64_t cols,
                                           int64_t num);

// Corrects `num` rows of weights, [num, factors.cols()] and `stride` apart, of
// which the first is that of number `first` in the matrix. Thread-safe.
void CorrectWeights(const GptqFactors& factors, int64_t first, int64_t num,
                    float* rows, int64_t stride);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_GPTQ_GPTQ_FACTORS_H_
