// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_PTH_WRITER_H_
#define RWKVD_TESTS_TESTING_PTH_WRITER_H_

#include <string>

#include "tests/testing/test_tensor.h"

namespace rwkvd::testing {

struct PthOptions {
  // As torch.save wrote files before 1.6: pickles and storages one behind the
  // other, in place of a zip file.
  bool legacy = false;
  // {"state_dict": tensors}
  bool wrapped = false;
  // Every third tensor is an nn.Parameter.
  bool parameters = false;
  // Two of three tensors are parts of one storage for each number type, with
  // unused numbers before, between and after them.
  bool shared_storage = false;
  // Every other matrix is stored column by column, and strided accordingly.
  bool transposed = false;
  // The entries that newer versions of torch add, and the _metadata that
  // Module.state_dict() attaches.
  bool modern = true;
  std::string root = "model";  // the folder inside the zip file
};

// The bytes of a .pth file: OrderedDict of names and tensors, as torch.save
// writes it.
std::string PthBytes(const TestTensors& tensors,
                     const PthOptions& options = {});

// Writes `tensors` as pytorch_model-0000i-of-0000n.bin and their index;
// returns the path of that.
std::string WriteShardedPth(const std::string& directory,
                            const TestTensors& tensors, int num_shards);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_PTH_WRITER_H_
