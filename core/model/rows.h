// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_ROWS_H_
#define RWKVD_CORE_MODEL_ROWS_H_

#include <cstdint>

namespace rwkvd {

// f32 [num, width], row-major, in a workspace or a caller's buffer. A view.
struct Rows {
  float* data = nullptr;
  int64_t num = 0;
  int64_t width = 0;

  float* operator[](int64_t index) const { return data + index * width; }
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_ROWS_H_
