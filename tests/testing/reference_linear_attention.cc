// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/reference_linear_attention.h"

namespace rwkvd::testing {

MatrixD ReferenceLinearAttention(const MatrixD& r, const MatrixD& k,
                                 const MatrixD& v, const MatrixD& w,
                                 const RowD& u, const MatrixD& state) {
  MatrixD y(r.rows(), r.cols());
  for (int64_t t = 0; t < r.rows(); ++t) {
    const RowD bonus = r.row(t).cwiseProduct(u);
    y.row(t) = bonus.dot(k.row(t)) * v.row(t);
    RowD decayed = r.row(t);  // decayed by w_{i+1} .. w_{t-1}
    for (int64_t i = t - 1; i >= 0; --i) {
      y.row(t) += decayed.dot(k.row(i)) * v.row(i);
      decayed = decayed.cwiseProduct(w.row(i));
    }
    y.row(t) += decayed * state;
  }
  return y;
}

}  // namespace rwkvd::testing
