// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/storage_id.h"

#include "core/base/file_error.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

using Kind = PickleObject::Kind;

// Keys are short numbers. The limit bounds the time to look up the key of each
// tensor.
constexpr size_t kMaxKeyBytes = 256;

struct StorageType {
  absl::string_view name;
  size_t element_bytes;
  std::optional<DType> dtype;
};

constexpr StorageType kStorageTypes[] = {
    {"torch.FloatStorage", 4, DType::kF32},
    {"torch.HalfStorage", 2, DType::kF16},
    {"torch.BFloat16Storage", 2, DType::kBF16},
    {"torch.DoubleStorage", 8, std::nullopt},
    {"torch.LongStorage", 8, std::nullopt},
    {"torch.IntStorage", 4, std::nullopt},
    {"torch.ShortStorage", 2, std::nullopt},
    {"torch.CharStorage", 1, std::nullopt},
    {"torch.ByteStorage", 1, std::nullopt},
    {"torch.BoolStorage", 1, std::nullopt},
};

const StorageType* FindStorageType(absl::string_view name) {
  for (const StorageType& type : kStorageTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

// Restricts `id` to a view (key, first, count) of its storage, which PyTorch
// wrote until version 0.4. `view` may be None.
absl::Status ReadView(const PickleObject& view, StorageId& id,
                      const FileError& error) {
  if (view.kind == Kind::kNone) return absl::OkStatus();
  const uint64_t total = id.count;
  if (view.kind != Kind::kTuple || view.items.size() != 3 ||
      !ReadCount(*view.items[1], &id.first) ||
      !ReadCount(*view.items[2], &id.count)) {
    return error("storage ", Quoted(id.key),
                 ": expected a view (key, first, count)");
  }
  if (id.first > total || id.count > total - id.first) {
    return error("storage ", Quoted(id.key), ": a view of ", id.count,
                 " elements from element ", id.first, " exceeds its ", total,
                 " elements");
  }
  return absl::OkStatus();
}

}  // namespace

bool ReadCount(const PickleObject& object, uint64_t* count) {
  if (object.kind != Kind::kInt || object.integer < 0) return false;
  *count = static_cast<uint64_t>(object.integer);
  return true;
}

absl::StatusOr<StorageId> ReadStorageId(const PickleObject& storage,
                                        absl::string_view where) {
  const FileError error(where);
  const auto& items = storage.arguments->items;
  StorageId id;
  if (items.size() < 5 || items[1]->kind != Kind::kGlobal ||
      items[2]->kind != Kind::kString || !ReadCount(*items[4], &id.count)) {
    return error("expected a storage with type, key and size");
  }
  const StorageType* const type = FindStorageType(items[1]->text);
  if (type == nullptr) {
    return error("expected a storage type, got ", items[1]->text);
  }
  id.type = type->name;
  id.dtype = type->dtype;
  id.element_bytes = type->element_bytes;
  id.key = items[2]->text;
  if (id.key.size() > kMaxKeyBytes) {
    return error("storage key has ", id.key.size(), " bytes, the limit is ",
                 kMaxKeyBytes);
  }
  if (__builtin_mul_overflow(id.count, id.element_bytes, &id.num_bytes)) {
    return error("storage ", Quoted(id.key), ": ", id.count, " elements of ",
                 id.element_bytes, " bytes exceed 2^64 bytes");
  }
  if (items.size() > 5) {
    RWKVD_RETURN_IF_ERROR(ReadView(*items[5], id, error));
  }
  return id;
}

}  // namespace rwkvd
