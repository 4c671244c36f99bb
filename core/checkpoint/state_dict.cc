// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/state_dict.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "core/base/file_error.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/unsupported_names.h"

namespace rwkvd {
namespace {

using Kind = PickleObject::Kind;
using Shape = std::vector<int64_t>;

constexpr size_t kMaxRank = 8;
constexpr uint64_t kMaxElements = uint64_t{1} << 60;
// Tensors may share a storage. This limits the ratio of the bytes of all
// tensors to those of the file, and so the work of code that copies or reads
// them all.
constexpr uint64_t kMaxSharing = 16;

// Reads a tuple of sizes or strides; `what` names it in messages.
absl::StatusOr<Shape> ReadCounts(const PickleObject& tuple,
                                 absl::string_view what,
                                 const FileError& error) {
  if (tuple.kind != Kind::kTuple && tuple.kind != Kind::kList) {
    return error(what, ": expected a tuple");
  }
  if (tuple.items.size() > kMaxRank) {
    return error("expected at most ", kMaxRank, " dimensions, got ",
                 tuple.items.size());
  }
  Shape counts;
  for (const PickleObject* item : tuple.items) {
    uint64_t count;
    if (!ReadCount(*item, &count)) {
      return error(what, ": expected whole numbers from 0 to 2^63-1");
    }
    counts.push_back(static_cast<int64_t>(count));
  }
  return counts;
}

// The number of elements of an array; empty if it exceeds kMaxElements. A
// dimension of size 0 counts as 1, so that the order of the dimensions does not
// matter.
std::optional<uint64_t> CountElements(const Shape& shape) {
  uint64_t elements = 1;
  for (int64_t dimension : shape) {
    const uint64_t size = dimension == 0 ? 1 : dimension;
    if (__builtin_mul_overflow(elements, size, &elements) ||
        elements > kMaxElements) {
      return std::nullopt;
    }
  }
  return elements;
}

// The number of elements of the storage from the first to the last element of a
// nonempty array; empty if it exceeds 2^64.
std::optional<uint64_t> SpannedElements(const Shape& shape,
                                        const Shape& strides) {
  uint64_t spanned = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    uint64_t step;
    if (__builtin_mul_overflow(static_cast<uint64_t>(shape[i] - 1),
                               static_cast<uint64_t>(strides[i]), &step) ||
        __builtin_add_overflow(spanned, step, &spanned)) {
      return std::nullopt;
    }
  }
  return spanned;
}

// Checks that shape and strides are consistent, whatever the storage.
absl::Status CheckShape(const Shape& shape, const Shape& strides,
                        const FileError& error) {
  if (shape.size() != strides.size()) {
    return error("shape ", ShapeString(shape), " and strides ",
                 ShapeString(strides), " differ in length");
  }
  if (!CountElements(shape).has_value()) {
    return error("shape ", ShapeString(shape), " has more than 2^60 elements");
  }
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] > 1 && strides[i] == 0) {
      return error("shape ", ShapeString(shape), " with strides ",
                   ShapeString(strides),
                   " repeats elements, which is not supported");
    }
  }
  return absl::OkStatus();
}

// Sets shape, strides and data of `tensor`, whose first element is element
// `offset` of `storage`. InvalidArgument if the tensor exceeds the storage.
absl::Status SetView(Shape shape, Shape strides, uint64_t offset,
                     absl::Span<const std::byte> storage, Tensor& tensor,
                     const FileError& error) {
  RWKVD_RETURN_IF_ERROR(CheckShape(shape, strides, error));
  const bool empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
  if (!empty) {
    const uint64_t size = SizeOf(tensor.dtype);
    const uint64_t num_elements = storage.size() / size;
    const std::optional<uint64_t> spanned = SpannedElements(shape, strides);
    if (!spanned.has_value() || offset > num_elements ||
        *spanned > num_elements - offset ||
        *CountElements(shape) > num_elements) {
      return error("shape ", ShapeString(shape), " with strides ",
                   ShapeString(strides), " at element ", offset,
                   " exceeds its storage of ", num_elements, " elements");
    }
    tensor.data = storage.subspan(offset * size, *spanned * size);
    tensor.strides = std::move(strides);
  }
  tensor.shape = std::move(shape);
  if (tensor.is_row_major()) tensor.strides.clear();
  return absl::OkStatus();
}

// The bytes in the file that `id` denotes.
absl::StatusOr<absl::Span<const std::byte>> FindStorage(
    const StorageId& id, const StorageMap& storages, const FileError& error) {
  const auto found = storages.find(id.key);
  if (found == storages.end()) {
    return error("storage ", Quoted(id.key), " is missing from the file");
  }
  if (found->second.size() != id.num_bytes) {
    return error("storage ", Quoted(id.key), ": expected ", id.num_bytes,
                 " bytes, got ", found->second.size());
  }
  return found->second.subspan(id.first * id.element_bytes,
                               id.count * id.element_bytes);
}

// Reads a tensor from a call of (storage, offset, shape, strides, ...).
absl::StatusOr<Tensor> ReadTensor(absl::string_view name,
                                  const PickleObject& object,
                                  const StorageMap& storages,
                                  const FileError& error) {
  const auto& arguments = object.arguments->items;
  uint64_t offset;
  if (arguments.size() < 4 || arguments[0]->kind != Kind::kStorage ||
      !ReadCount(*arguments[1], &offset)) {
    return error(
        "expected a call with a storage, an offset, a shape and strides");
  }
  RWKVD_ASSIGN_OR_RETURN(const StorageId id,
                         ReadStorageId(*arguments[0], error.Prefix()));
  if (!id.dtype.has_value()) {
    return error("expected elements of F32, F16 or BF16, got ", id.type);
  }
  Tensor tensor;
  tensor.name = std::string(name);
  tensor.dtype = *id.dtype;
  RWKVD_ASSIGN_OR_RETURN(Shape shape,
                         ReadCounts(*arguments[2], "shape", error));
  RWKVD_ASSIGN_OR_RETURN(Shape strides,
                         ReadCounts(*arguments[3], "strides", error));
  RWKVD_ASSIGN_OR_RETURN(const auto storage, FindStorage(id, storages, error));
  RWKVD_RETURN_IF_ERROR(SetView(std::move(shape), std::move(strides), offset,
                                storage, tensor, error));
  return tensor;
}

bool HoldsTensors(const PickleObject& object) {
  if (object.kind != Kind::kDict) return false;
  for (size_t i = 1; i < object.items.size(); i += 2) {
    if (object.items[i]->kind == Kind::kTensor) return true;
  }
  return false;
}

// The keys under which programs wrap a state dict, in order of preference.
constexpr absl::string_view kWrappers[] = {"state_dict", "model_state_dict",
                                           "model", "module", "weights"};
constexpr int kMaxWrappers = 4;  // around each other

// The state dict: `root` itself or, in at most kMaxWrappers dicts, a value
// under one of the keys above; nullptr if there is none.
const PickleObject* FindStateDict(const PickleObject& root) {
  const PickleObject* dict = &root;
  for (int i = 0; i <= kMaxWrappers && dict != nullptr; ++i) {
    const PickleObject* inner = nullptr;
    for (absl::string_view key : kWrappers) {
      const PickleObject* const wrapped = dict->Find(key);
      if (wrapped == nullptr || wrapped->kind != Kind::kDict) continue;
      if (HoldsTensors(*wrapped)) return wrapped;
      if (inner == nullptr) inner = wrapped;
    }
    if (HoldsTensors(*dict)) return dict;
    dict = inner;
  }
  return nullptr;
}

// The keys of the dict that are strings, in order. InvalidArgument if one
// occurs twice.
absl::StatusOr<std::vector<absl::string_view>> ReadNames(
    const PickleObject& dict, const FileError& error) {
  std::vector<absl::string_view> names;
  absl::flat_hash_set<absl::string_view> seen;
  for (size_t i = 0; i < dict.items.size(); i += 2) {
    const PickleObject& key = *dict.items[i];
    if (key.kind != Kind::kString) continue;
    if (!seen.insert(key.text).second) {
      return error.In("tensor", key.text)("occurs twice");
    }
    names.push_back(key.text);
  }
  return names;
}

// Refuses checkpoints that the rwkv pip package has saved for one strategy.
// They look like the original, but matrices are transposed, scaled or
// quantized.
absl::Status CheckIsOriginal(absl::Span<const absl::string_view> names,
                             const FileError& error) {
  const auto converted = [&error](absl::string_view name) {
    return error(
        "was converted by the rwkv pip package for one strategy (it contains ",
        Quoted(name),
        "), which changes the weights; use the original checkpoint");
  };
  const absl::flat_hash_set<absl::string_view> all(names.begin(), names.end());
  for (absl::string_view name : {"_strategy", "_version", "_rescale_layer"}) {
    if (all.contains(name)) return converted(name);
  }
  for (absl::string_view name : names) {
    for (absl::string_view suffix : {"_mx", "_rx", "_my", "_ry"}) {
      if (absl::EndsWith(name, suffix) &&
          all.contains(name.substr(0, name.size() - suffix.size()))) {
        return converted(name);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Tensor>> ReadStateDict(const PickleObject& root,
                                                  const StorageMap& storages,
                                                  absl::string_view where) {
  const FileError error(where);
  const PickleObject* const dict = FindStateDict(root);
  if (dict == nullptr) {
    return error("expected a dict of tensors, or one under \"",
                 absl::StrJoin(kWrappers, "\", \""), "\", found none");
  }
  RWKVD_ASSIGN_OR_RETURN(const std::vector<absl::string_view> names,
                         ReadNames(*dict, error));
  RWKVD_RETURN_IF_ERROR(CheckIsOriginal(names, error));
  RWKVD_RETURN_IF_ERROR(CheckSupported(names, error));
  uint64_t file_bytes = 0;
  for (const auto& [key, bytes] : storages) file_bytes += bytes.size();
  uint64_t tensor_bytes = 0;
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < dict->items.size(); i += 2) {
    const PickleObject& key = *dict->items[i];
    const PickleObject& value = *dict->items[i + 1];
    if (value.kind != Kind::kTensor) continue;
    if (key.kind != Kind::kString)
      return error("expected a string as the name of each tensor");
    const FileError tensor_error = error.In("tensor", key.text);
    RWKVD_ASSIGN_OR_RETURN(Tensor tensor,
                           ReadTensor(key.text, value, storages, tensor_error));
    tensor_bytes += tensor.num_bytes();
    if (tensor_bytes / kMaxSharing > file_bytes) {
      return tensor_error("the tensors up to this one take more than ",
                          kMaxSharing, " times the ", file_bytes,
                          " bytes of the file's storages");
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace rwkvd
