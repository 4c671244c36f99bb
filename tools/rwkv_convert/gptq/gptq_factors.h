// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_GPTQ_GPTQ_FACTORS_H_
#define RWKVD_TOOLS_RWKV_CONVERT_GPTQ_GPTQ_FACTORS_H_

#include <cstdint>
#include <optional>
#include <vector>

namespace rwkvd {

// The factors of a Hessian that GPTQ needs to round the columns of a matrix one
// after another (gptq_quantize.h). A value.
//
// H, the Hessian, is the matrix of second moments of the inputs, with the
// columns in the order of rounding. H = F D F^T, where D is diagonal and F is
// upper triangular with ones on its diagonal. If rounding changes a row of
// weights by the errors e (before - after), the squared error of the output
// grows by e H e^T, which is the sum over k of
//   D[k] * (e[k] + sum over i < k of e[i] * F[i][k])^2.
// So once the columns before it are rounded, the best target for column k is
// its weight plus the inner sum: GPTQ, in the form of LDLQ.
struct GptqFactors {
  // The order of rounding: one group of kGroupCols adjacent columns after
  // another, and an order of the columns within each group.
  std::vector<int32_t> order;
  std::vector<float> factor;    // F [cols, cols], row-major
  std::vector<float> diagonal;  // D [cols]
  // The correction of rows before they are rounded. The inputs of the rounded
  // model are x where those of the original model are x'. With the columns in
  // their original order, a row of weights w becomes
  //   w + correction_share * (w input_error + stream_error[row]) H^-1.
  // With a share of 1, it is the row whose outputs for x are closest to those
  // of w for x' plus what the residual stream lacks.
  //
  // MakeGptqFactors leaves both matrices empty: no correction.
  std::vector<float> input_error;   // sums of (x' - x) x^T, [cols, cols]
  std::vector<float> stream_error;  // sums of (lacking row) x^T, [rows, cols]
  float correction_share = 0;

  int64_t cols() const { return static_cast<int64_t>(order.size()); }
};

// Damping: this share of the mean of the Hessian's diagonal is added to each
// element of the diagonal.
inline constexpr double kHessianDamping = 0.01;

// The correction from sums over `num` inputs is applied with the share
// num / (num + kCorrectionDoubt * cols): most of the difference between the
// inputs is noise, which few inputs do not average out.
inline constexpr int64_t kCorrectionDoubt = 8;

// Returns the factors of a Hessian. `sums` is the sum of x^T x over `num`
// inputs x of `cols` elements (a multiple of kGroupCols): [cols, cols],
// row-major, of which only the lower triangle is read. Elements outside of the
// diagonal are scaled by num / (num + cols), because few inputs say little
// about how columns correlate.
//
// The columns with the largest moments come first in the order of rounding, so
// that the most columns are left to compensate for them. Nothing if a sum is
// not finite. Needs 8 * cols^2 bytes in addition to the result.
std::optional<GptqFactors> MakeGptqFactors(const float* sums, int64_t cols,
                                           int64_t num);

// Corrects `num` rows of weights, [num, factors.cols()] with the given stride.
// `first` is the index of the first of them in the matrix. Thread-safe.
void CorrectWeights(const GptqFactors& factors, int64_t first, int64_t num,
                    float* rows, int64_t stride);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_GPTQ_GPTQ_FACTORS_H_
