// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_SPARSE_GGUF_H_
#define RWKVD_TESTS_TESTING_SPARSE_GGUF_H_

#include <cstdint>
#include <string>

#include "core/base/dtype.h"

namespace rwkvd::testing {

// The sizes of an RWKV-7 model. Matrices have the type `matrix`, low-rank ones
// F16, vectors F32.
struct SparseGguf {
  uint64_t layers = 2;
  uint64_t width = 256;  // a multiple of 64
  uint64_t ffn = 1024;
  uint64_t vocab = 512;
  uint64_t rank = 32;
  DType matrix = DType::kQ4_K;
};

// Writes a GGUF file of a whole model of any size, whose weights are all zero,
// as a sparse file: it takes no space on the disk, and no time. Its tokenizer
// has the single bytes, and unused ids. Returns its size.
uint64_t WriteSparseGgufOrDie(const SparseGguf& model, const std::string& path);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_SPARSE_GGUF_H_
