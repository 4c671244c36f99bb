// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_INPUT_OBSERVER_H_
#define RWKVD_CORE_MODEL_INPUT_OBSERVER_H_

#include "core/model/rows.h"

namespace rwkvd {

struct Matrix;

// Sees what a network multiplies its matrices with, and may put others in their
// place. Whoever made it gives it to a Workspace, which it outlives.
class InputObserver {
 public:
  virtual ~InputObserver() = default;

  // Called by the thread that called Forward, before the product of `w` with
  // the rows x [n, w.cols], which stay for the call. It may use the
  // workspace's pool. Returns the matrix to multiply with, of the same size,
  // which stays until the product is done: `w`, mostly.
  virtual const Matrix& OnInputs(const Matrix& w, Rows x) = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_INPUT_OBSERVER_H_
