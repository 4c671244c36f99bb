// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_ZERO_MATRICES_H_
#define RWKVD_CORE_CHECKPOINT_ZERO_MATRICES_H_

#include <string>
#include <vector>

#include "core/checkpoint/tensor_file.h"

namespace rwkvd {

// The names of the matrices whose elements are all zero, in byte order. Few
// models have such matrices on purpose, but a download that has only reserved
// the space for a file leaves zeros in it. Reads the first and the last bytes
// of each matrix, and the others only while they are zero. Maps no other pages.
std::vector<std::string> FindZeroMatrices(const TensorFile& file);

// A sentence that names the matrices, which must not be none, at most five.
std::string DescribeZeroMatrices(const std::vector<std::string>& names);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_ZERO_MATRICES_H_
