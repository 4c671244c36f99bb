// SPDX-License-Identifier: Apache-2.0
//
// Reads a pickle, and its object as a state dict. The storages have the sizes
// that the pickle specifies, up to a limit.
#include <algorithm>
#include <cstddef>
#include <deque>
#include <vector>

#include "core/base/check.h"
#include "core/checkpoint/state_dict.h"
#include "core/checkpoint/unpickler.h"
#include "tests/fuzz/check_tensor.h"
#include "tests/fuzz/fuzz_input.h"

namespace rwkvd {
namespace {

constexpr uint64_t kMaxStorageBytes = 256;

bool IsParseError(const absl::Status& status) {
  return status.code() == absl::StatusCode::kInvalidArgument;
}

// The storages of a pickle. Each has its own allocation, so that the address
// sanitizer detects accesses beyond its ends.
class Storages {
 public:
  // Allocates the storages that the pickle refers to.
  explicit Storages(const Pickle& pickle) {
    for (const PickleObject& object : pickle.objects()) {
      if (object.kind != PickleObject::Kind::kStorage) continue;
      const auto id = ReadStorageId(object, "input");
      RWKVD_CHECK(id.ok() || IsParseError(id.status()));
      if (!id.ok()) continue;
      const size_t size = std::min(id->num_bytes, kMaxStorageBytes);
      map_.emplace(id->key, buffers_.emplace_back(size, std::byte{'x'}));
    }
  }

  const StorageMap& map() const { return map_; }

  // The storage that `tensor` views; empty if there is none.
  absl::Span<const std::byte> Of(const Tensor& tensor) const {
    for (const auto& [key, bytes] : map_) {
      const std::byte* const begin = bytes.data();
      if (tensor.data.data() >= begin &&
          tensor.data.data() < begin + bytes.size()) {
        return bytes;
      }
    }
    return {};
  }

 private:
  std::deque<std::vector<std::byte>> buffers_;
  StorageMap map_;
};

void Read(absl::Span<const std::byte> bytes) {
  const auto pickle = ReadPickle(bytes, "input");
  if (!pickle.ok()) {
    RWKVD_CHECK(IsParseError(pickle.status()));
    return;
  }
  RWKVD_CHECK(pickle->num_bytes() <= bytes.size());
  RWKVD_CHECK(pickle->objects().size() <= bytes.size());
  const Storages storages(*pickle);
  const auto tensors = ReadStateDict(pickle->root(), storages.map(), "input");
  if (!tensors.ok()) {
    RWKVD_CHECK(IsParseError(tensors.status()));
    return;
  }
  for (const Tensor& tensor : *tensors) {
    testing::CheckTensor(tensor, storages.Of(tensor));
  }
}

}  // namespace
}  // namespace rwkvd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rwkvd::Read(rwkvd::testing::AsBytes(rwkvd::testing::AsText(data, size)));
  return 0;
}
