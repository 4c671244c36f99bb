// SPDX-License-Identifier: Apache-2.0
//
// Reads a safetensors file: first the input itself, then the input as a file
// without the length of its header, so that the fuzzer can change the header
// alone. The header then ends at the first zero byte, where the data begins.
#include <algorithm>
#include <string>

#include "core/base/check.h"
#include "core/checkpoint/safetensors.h"
#include "tests/fuzz/check_tensor.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/mapped_input.h"

namespace rwkvd {
namespace {

void Read(absl::string_view bytes) {
  const testing::MappedInput file(testing::AsBytes(bytes));
  const auto tensors = ParseSafetensors(*file);
  if (!tensors.ok()) {
    RWKVD_CHECK(tensors.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  size_t data_bytes = 0;
  for (const Tensor& tensor : *tensors) {
    testing::CheckTensor(tensor, file->bytes());
    data_bytes += tensor.data.size();
  }
  RWKVD_CHECK(data_bytes <= file->bytes().size());  // tensors do not overlap
}

std::string WithLength(absl::string_view bytes) {
  const size_t header = std::min(bytes.find('\0'), bytes.size());
  std::string file;
  for (int i = 0; i < 8; ++i) {
    file.push_back(static_cast<char>(static_cast<uint64_t>(header) >> (8 * i)));
  }
  file.append(bytes.data(), bytes.size());
  return file;
}

}  // namespace
}  // namespace rwkvd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input = rwkvd::testing::AsText(data, size);
  rwkvd::Read(input);
  rwkvd::Read(rwkvd::WithLength(input));
  return 0;
}
