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
#include "core/base/file_error.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

using Kind = PickleObject::Kind;
using Shape = std::vector<int64_t>;

constexpr size_t kMaxRank = 8;
constexpr uint64_t kMaxElements = uint64_t{1} << 60;
// Tensors may share a storage, but a file does not hold much more than its
// bytes: whoever copies or reads them all relies on it.
constexpr uint64_t kMaxSharing = 16;

// A tuple of sizes or strides.
absl::StatusOr<Shape> ReadCounts(const PickleObject& tuple,
                                 absl::string_view what,
                                 const FileError& error) {
  if (tuple.kind != Kind::kTuple && tuple.kind != Kind::kList) {
    return error("expected a tuple as its ", what);
  }
  if (tuple.items.size() > kMaxRank) {
    return error("expected at most ", kMaxRank, " dimensions, got ",
                 tuple.items.size());
  }
  Shape counts;
  for (const PickleObject* item : tuple.items) {
    uint64_t count;
    if (!ReadCount(*item, &count)) {
      return error("expected whole numbers from 0 to 2^63-1 as its ", what);
    }
    counts.push_back(static_cast<int64_t>(count));
  }
  return counts;
}

// The elements of an array, counting an empty dimension as one so that no
// order of multiplication can overflow; nothing if they pass kMaxElements.
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

// The elements from the first to the last of an array that is not empty;
// nothing if they pass 2^64.
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

// That shape and strides are possible, wherever they may lie.
absl::Status CheckShape(const Shape& shape, const Shape& strides,
                        const FileError& error) {
  if (shape.size() != strides.size()) {
    return error("shape ", ShapeString(shape), " and strides ",
                 ShapeString(strides), " differ in length");
  }
  if (!CountElements(shape).has_value()) {
    return error("shape ", ShapeString(shape),
                 " has more elements than any file");
  }
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] > 1 && strides[i] == 0) {
      return error("repeats its elements (strides ", ShapeString(strides),
                   " of shape ", ShapeString(shape), ")");
    }
  }
  return absl::OkStatus();
}

// Sets shape, strides and data of `tensor`, whose elements begin `offset`
// elements into `storage`. It has no more elements than that.
absl::Status SetView(Shape shape, Shape strides, uint64_t offset,
                     absl::Span<const std::byte> storage, Tensor& tensor,
                     const FileError& error) {
  RWKVD_RETURN_IF_ERROR(CheckShape(shape, strides, error));
  const bool empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
  if (!empty) {
    const uint64_t size = SizeOf(tensor.dtype);
    const uint64_t held = storage.size() / size;
    const std::optional<uint64_t> spanned = SpannedElements(shape, strides);
    if (!spanned.has_value() || offset > held || *spanned > held - offset ||
        *CountElements(shape) > held) {
      return error("shape ", ShapeString(shape), " with strides ",
                   ShapeString(strides), " at element ", offset,
                   " reaches outside its storage of ", held, " elements");
    }
    tensor.data = storage.subspan(offset * size, *spanned * size);
    tensor.strides = std::move(strides);
  }
  tensor.shape = std::move(shape);
  if (tensor.is_row_major()) tensor.strides.clear();
  return absl::OkStatus();
}

// The part of the file that `id` means.
absl::StatusOr<absl::Span<const std::byte>> FindStorage(
    const StorageId& id, const StorageMap& storages, const FileError& error) {
  const auto found = storages.find(id.key);
  if (found == storages.end()) {
    return error("its storage ", Quoted(id.key), " is not in the file");
  }
  if (found->second.size() != id.num_bytes) {
    return error("its storage ", Quoted(id.key), " should take ", id.num_bytes,
                 " bytes, but the file holds ", found->second.size());
  }
  return found->second.subspan(id.first * id.element_bytes,
                               id.count * id.element_bytes);
}

// A call (storage, offset, shape, strides, ...).
absl::StatusOr<Tensor> ReadTensor(absl::string_view name,
                                  const PickleObject& object,
                                  const StorageMap& storages,
                                  const FileError& error) {
  const auto& arguments = object.arguments->items;
  uint64_t offset;
  if (arguments.size() < 4 || arguments[0]->kind != Kind::kStorage ||
      !ReadCount(*arguments[1], &offset)) {
    return error(
        "expected it to be made of a storage, an offset, a shape and strides");
  }
  RWKVD_ASSIGN_OR_RETURN(const StorageId id,
                         ReadStorageId(*arguments[0], error.Prefix()));
  if (!id.dtype.has_value()) {
    return error("expected numbers of F32, F16 or BF16, got ", id.type);
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

// The dict of tensors that `root` is or wraps; nullptr if there is none.
const PickleObject* FindStateDict(const PickleObject& root) {
  for (absl::string_view wrapper : {"state_dict", "model"}) {
    const PickleObject* const wrapped = root.Find(wrapper);
    if (wrapped != nullptr && HoldsTensors(*wrapped)) return wrapped;
  }
  return HoldsTensors(root) ? &root : nullptr;
}

using Names = absl::flat_hash_set<absl::string_view>;

// The dict's keys that are texts. Reading stops at the first that comes twice,
// so no text is looked at often.
absl::StatusOr<Names> ReadNames(const PickleObject& dict,
                                const FileError& error) {
  Names names;
  for (size_t i = 0; i < dict.items.size(); i += 2) {
    const PickleObject& key = *dict.items[i];
    if (key.kind == Kind::kString && !names.insert(key.text).second) {
      return error.In("tensor", key.text)("comes twice");
    }
  }
  return names;
}

// The rwkv pip package can save its weights ready for one strategy. They look
// like the original, but matrices are transposed, scaled or quantized.
absl::Status CheckIsOriginal(const PickleObject& dict, const Names& names,
                             const FileError& error) {
  const auto refuse = [&error](absl::string_view name) {
    return error(
        "was rewritten by the rwkv pip package for one strategy (it holds ",
        Quoted(name),
        "), which changes the weights; use the original checkpoint");
  };
  for (absl::string_view name : {"_strategy", "_version", "_rescale_layer"}) {
    if (names.contains(name)) return refuse(name);
  }
  for (size_t i = 0; i < dict.items.size(); i += 2) {
    const absl::string_view name = dict.items[i]->text;
    for (absl::string_view suffix : {"_mx", "_rx", "_my", "_ry"}) {
      if (absl::EndsWith(name, suffix) &&
          names.contains(name.substr(0, name.size() - suffix.size()))) {
        return refuse(name);
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
    return error(
        "expected a dict of tensors, or one under \"state_dict\" or \"model\", "
        "and found none");
  }
  RWKVD_ASSIGN_OR_RETURN(const Names names, ReadNames(*dict, error));
  RWKVD_RETURN_IF_ERROR(CheckIsOriginal(*dict, names, error));
  uint64_t file_bytes = 0;
  for (const auto& [key, bytes] : storages) file_bytes += bytes.size();
  uint64_t tensor_bytes = 0;
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < dict->items.size(); i += 2) {
    const PickleObject& key = *dict->items[i];
    const PickleObject& value = *dict->items[i + 1];
    if (value.kind != Kind::kTensor) continue;
    if (key.kind != Kind::kString) return error("a tensor without a name");
    const FileError tensor_error = error.In("tensor", key.text);
    RWKVD_ASSIGN_OR_RETURN(Tensor tensor,
                           ReadTensor(key.text, value, storages, tensor_error));
    tensor_bytes += tensor.num_bytes();
    if (tensor_bytes / kMaxSharing > file_bytes) {
      return tensor_error("with it the tensors take over ", kMaxSharing,
                          " times the bytes that the file holds");
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace rwkvd
