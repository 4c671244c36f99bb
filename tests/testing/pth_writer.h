// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_PTH_WRITER_H_
#define RWKVD_TESTS_TESTING_PTH_WRITER_H_

#include <string>

#include "tests/testing/test_tensor.h"

namespace rwkvd::testing {

struct PthOptions {
  // The format of torch.save before 1.6: a sequence of pickles and storages,
  // not a zip archive.
  bool legacy = false;
  // Whether the object is {"state_dict": tensors}.
  bool wrapped = false;
  // Whether every third tensor is an nn.Parameter.
  bool parameters = false;
  // Whether two of three tensors are parts of one storage for each number type,
  // with unused numbers before, between and after them.
  bool shared_storage = false;
  // Whether every other matrix is stored column-major.
  bool transposed = false;
  // Whether there are the entries that newer versions of torch add, and the
  // _metadata that Module.state_dict() attaches.
  bool modern = true;
  std::string root = "model";  // the directory in the zip archive
};

// The bytes of the .pth file that torch.save writes for an OrderedDict of names
// and tensors.
std::string PthBytes(const TestTensors& tensors,
                     const PthOptions& options = {});

// Writes `tensors` as pytorch_model-0000i-of-0000n.bin and an index; returns
// the path of the index.
std::string WriteShardedPth(const std::string& directory,
                            const TestTensors& tensors, int num_shards);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_PTH_WRITER_H_
