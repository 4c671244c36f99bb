// SPDX-License-Identifier: Apache-2.0
//
// Reads the input as a file of torch.save, in the current or the legacy format.
#include "core/base/check.h"
#include "core/checkpoint/pth.h"
#include "tests/fuzz/check_tensor.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/mapped_input.h"

namespace rwkvd {
namespace {

void Read(absl::string_view bytes) {
  const testing::MappedInput file(testing::AsBytes(bytes));
  IsPth(file->bytes());
  const auto tensors = ParsePth(*file);
  if (!tensors.ok()) {
    RWKVD_CHECK(tensors.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  for (const Tensor& tensor : *tensors) {
    testing::CheckTensor(tensor, file->bytes());
  }
}

}  // namespace
}  // namespace rwkvd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rwkvd::Read(rwkvd::testing::AsText(data, size));
  return 0;
}
