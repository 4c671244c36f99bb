// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_MATMUL_INTERCEPTOR_H_
#define RWKVD_CORE_MODEL_MATMUL_INTERCEPTOR_H_

#include "core/model/rows.h"

namespace rwkvd {

struct Matrix;

// Sees the inputs of every matmul of a model and can replace its matrix.
// Calibration uses it to run a model with rounded weights and to collect the
// inputs of each matrix. The caller of Workspace::set_interceptor owns it.
class MatMulInterceptor {
 public:
  virtual ~MatMulInterceptor() = default;

  // Called before x [n, w.cols] is multiplied by `w`, on the thread that called
  // Forward. The rows x stay valid during the call, and the call may use the
  // workspace's pool. Returns the matrix to multiply by, usually `w`: it has
  // the size of `w` and stays valid until the matmul is done.
  virtual const Matrix& Intercept(const Matrix& w, Rows x) = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_MATMUL_INTERCEPTOR_H_
