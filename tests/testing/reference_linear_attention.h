// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_REFERENCE_LINEAR_ATTENTION_H_
#define RWKVD_TESTS_TESTING_REFERENCE_LINEAR_ATTENTION_H_

#include "tests/testing/reference_math.h"

namespace rwkvd::testing {

// The core of time mixing in versions 5 and 6 for one head (arXiv 2404.05892,
// equations 16 and 26). r, k, v and w are [n, head_size], u is [head_size]:
//
//   y_t = r_t (S_0 decayed by w_0 .. w_{t-1}
//              + sum over i < t of k_i^T v_i decayed by w_{i+1} .. w_{t-1}
//              + diag(u) k_t^T v_t)
//
// Decaying by w is multiplication with diag(w) from the left. This is not the
// recurrence that models compute, but the sum it is derived from, in quadratic
// time. `state` is S_0, [head_size (keys)][head_size (values)].
MatrixD ReferenceLinearAttention(const MatrixD& r, const MatrixD& k,
                                 const MatrixD& v, const MatrixD& w,
                                 const RowD& u, const MatrixD& state);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_REFERENCE_LINEAR_ATTENTION_H_
