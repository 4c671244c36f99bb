// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_ZERO_MATRICES_H_
#define RWKVD_CORE_CHECKPOINT_ZERO_MATRICES_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/checkpoint/tensor_file.h"

namespace rwkvd {

// A matrix whose elements are all zero, or, if it is not small, those of the
// last eighth of its memory. A value.
struct ZeroMatrix {
  std::string name;
  std::string file;  // its name without the folder; empty if it was copied
  bool is_entire = true;
};

// Finds the zero matrices, in byte order of their names. Few models have such
// matrices on purpose, but a download that has only reserved the space for a
// file leaves zeros in it, from somewhere within a matrix on. Reads the last
// bytes of each matrix, and the others only while they are zero. Maps no pages.
std::vector<ZeroMatrix> FindZeroMatrices(const TensorFile& file);

// A sentence that names the matrices, which must not be none, and their files,
// at most five of each.
std::string DescribeZeroMatrices(absl::Span<const ZeroMatrix> matrices);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_ZERO_MATRICES_H_
