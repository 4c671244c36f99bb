// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/state_dict.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

using Kind = PickleObject::Kind;
using Items = absl::Span<const PickleObject* const>;

constexpr size_t kMaxRank = 8;
// Tensors may share a storage, but a file does not hold much more than its
// bytes: whoever copies or reads them all relies on it.
constexpr uint64_t kMaxSharing = 16;

struct StorageType {
  absl::string_view name;
  size_t element_bytes;
  std::optional<DType> dtype;  // if a model computes with it
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

std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::Utf8SafeCEscape(text.substr(0, 200)), "\"");
}

// Builds messages that begin with the file, and with the tensor where there
// is one.
class Complaint {
 public:
  explicit Complaint(absl::string_view where) : where_(where) {}
  Complaint(const Complaint& file, absl::string_view tensor)
      : where_(absl::StrCat(file.where_, ": tensor ", Quoted(tensor))) {}

  template <typename... Args>
  absl::Status operator()(const Args&... args) const {
    return absl::InvalidArgumentError(absl::StrCat(where_, ": ", args...));
  }
  absl::string_view where() const { return where_; }

 private:
  std::string where_;
};

// `object` as a number of elements.
bool ReadCount(const PickleObject& object, uint64_t* count) {
  if (object.kind != Kind::kInt || object.integer < 0) return false;
  *count = static_cast<uint64_t>(object.integer);
  return true;
}

// A tuple of sizes or strides.
absl::StatusOr<std::vector<int64_t>> ReadCounts(const PickleObject& tuple,
                                                absl::string_view what,
                                                const Complaint& complain) {
  if (tuple.kind != Kind::kTuple && tuple.kind != Kind::kList) {
    return complain("expected a tuple as its ", what);
  }
  if (tuple.items.size() > kMaxRank) {
    return complain("expected at most ", kMaxRank, " dimensions, got ",
                    tuple.items.size());
  }
  std::vector<int64_t> counts;
  for (const PickleObject* item : tuple.items) {
    uint64_t count;
    if (!ReadCount(*item, &count)) {
      return complain("expected whole numbers from 0 to 2^63-1 as its ", what);
    }
    counts.push_back(static_cast<int64_t>(count));
  }
  return counts;
}

// The elements of an array, counting an empty dimension as one so that no
// order of multiplication can overflow; nothing if they pass 2^60.
std::optional<uint64_t> CountElements(absl::Span<const int64_t> shape) {
  uint64_t elements = 1;
  for (int64_t dimension : shape) {
    const uint64_t size = dimension == 0 ? 1 : dimension;
    if (__builtin_mul_overflow(elements, size, &elements) ||
        elements > uint64_t{1} << 60) {
      return std::nullopt;
    }
  }
  return elements;
}

// The elements from the first to the last of an array that is not empty, or
// nothing if they pass 2^64.
std::optional<uint64_t> SpannedElements(absl::Span<const int64_t> shape,
                                        absl::Span<const int64_t> strides) {
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

// Sets shape, strides and data of `tensor`, whose elements begin `offset`
// elements into `storage`.
absl::Status SetView(std::vector<int64_t> shape, std::vector<int64_t> strides,
                     uint64_t offset, absl::Span<const std::byte> storage,
                     Tensor& tensor, const Complaint& complain) {
  if (shape.size() != strides.size()) {
    return complain("shape ", ShapeString(shape), " and strides ",
                    ShapeString(strides), " differ in length");
  }
  const uint64_t size = SizeOf(tensor.dtype);
  const uint64_t held = storage.size() / size;
  const std::optional<uint64_t> elements = CountElements(shape);
  if (!elements.has_value()) {
    return complain("shape ", ShapeString(shape),
                    " has more elements than any file");
  }
  bool empty = false;
  for (size_t i = 0; i < shape.size(); ++i) {
    empty = empty || shape[i] == 0;
    if (shape[i] > 1 && strides[i] == 0) {
      return complain("repeats its elements (strides ", ShapeString(strides),
                      " of shape ", ShapeString(shape), ")");
    }
  }
  tensor.shape = std::move(shape);
  if (empty) return absl::OkStatus();
  const std::optional<uint64_t> spanned =
      SpannedElements(tensor.shape, strides);
  if (!spanned.has_value() || offset > held || *spanned > held - offset ||
      *elements > held) {
    return complain("shape ", ShapeString(tensor.shape), " with strides ",
                    ShapeString(strides), " at element ", offset,
                    " reaches outside its storage of ", held, " elements");
  }
  tensor.data = storage.subspan(offset * size, *spanned * size);
  tensor.strides = std::move(strides);
  if (tensor.is_row_major()) tensor.strides.clear();
  return absl::OkStatus();
}

// The part of the file that `id` means.
absl::StatusOr<absl::Span<const std::byte>> FindStorage(
    const StorageId& id, const StorageMap& storages,
    const Complaint& complain) {
  const auto found = storages.find(id.key);
  if (found == storages.end()) {
    return complain("its storage ", Quoted(id.key), " is not in the file");
  }
  if (found->second.size() != id.num_bytes) {
    return complain("its storage ", Quoted(id.key), " should take ",
                    id.num_bytes, " bytes, but the file holds ",
                    found->second.size());
  }
  return found->second.subspan(id.first * id.element_bytes,
                               id.count * id.element_bytes);
}

// A call (storage, offset, shape, strides, ...).
absl::StatusOr<Tensor> ReadTensor(absl::string_view name,
                                  const PickleObject& object,
                                  const StorageMap& storages,
                                  const Complaint& complain) {
  const Items arguments = object.arguments->items;
  uint64_t offset;
  if (arguments.size() < 4 || arguments[0]->kind != Kind::kStorage ||
      !ReadCount(*arguments[1], &offset)) {
    return complain(
        "expected it to be made of a storage, an offset, a shape "
        "and strides");
  }
  RWKVD_ASSIGN_OR_RETURN(const StorageId id,
                         ReadStorageId(*arguments[0], complain.where()));
  const std::optional<DType> dtype = FindStorageType(id.type)->dtype;
  if (!dtype.has_value()) {
    return complain("expected numbers of F32, F16 or BF16, got ", id.type);
  }
  Tensor tensor;
  tensor.name = std::string(name);
  tensor.dtype = *dtype;
  RWKVD_ASSIGN_OR_RETURN(std::vector<int64_t> shape,
                         ReadCounts(*arguments[2], "shape", complain));
  RWKVD_ASSIGN_OR_RETURN(std::vector<int64_t> strides,
                         ReadCounts(*arguments[3], "strides", complain));
  RWKVD_ASSIGN_OR_RETURN(const auto storage,
                         FindStorage(id, storages, complain));
  RWKVD_RETURN_IF_ERROR(SetView(std::move(shape), std::move(strides), offset,
                                storage, tensor, complain));
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
  if (root.kind != Kind::kDict) return nullptr;
  for (absl::string_view wrapper : {"state_dict", "model"}) {
    for (size_t i = 0; i < root.items.size(); i += 2) {
      const PickleObject& key = *root.items[i];
      if (key.kind == Kind::kString && key.text == wrapper &&
          HoldsTensors(*root.items[i + 1])) {
        return root.items[i + 1];
      }
    }
  }
  return HoldsTensors(root) ? &root : nullptr;
}

// The rwkv pip package can save its weights ready for one strategy. They look
// like the original, but matrices are transposed, scaled or quantized.
absl::Status CheckIsOriginal(const PickleObject& dict,
                             const Complaint& complain) {
  const auto refuse = [&complain](absl::string_view key) {
    return complain(
        "was rewritten by the rwkv pip package for one strategy "
        "(it holds ",
        Quoted(key),
        "), which changes the weights; "
        "use the original checkpoint");
  };
  absl::flat_hash_set<absl::string_view> keys;
  for (size_t i = 0; i < dict.items.size(); i += 2) {
    if (dict.items[i]->kind == Kind::kString) keys.insert(dict.items[i]->text);
  }
  for (absl::string_view key : {"_strategy", "_version", "_rescale_layer"}) {
    if (keys.contains(key)) return refuse(key);
  }
  for (absl::string_view key : keys) {
    for (absl::string_view suffix : {"_mx", "_rx", "_my", "_ry"}) {
      if (absl::EndsWith(key, suffix) &&
          keys.contains(key.substr(0, key.size() - suffix.size()))) {
        return refuse(key);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<StorageId> ReadStorageId(const PickleObject& storage,
                                        absl::string_view where) {
  const Complaint complain(where);
  const Items items = storage.arguments->items;
  StorageId id;
  if (items.size() < 5 || items[1]->kind != Kind::kGlobal ||
      items[2]->kind != Kind::kString || !ReadCount(*items[4], &id.count)) {
    return complain("a storage without type, key or size");
  }
  const StorageType* type = FindStorageType(items[1]->text);
  if (type == nullptr) {
    return complain("expected a type of storage, got ", items[1]->text);
  }
  id.type = type->name;
  id.key = items[2]->text;
  id.element_bytes = type->element_bytes;
  const uint64_t total = id.count;
  if (__builtin_mul_overflow(total, id.element_bytes, &id.num_bytes)) {
    return complain("storage ", Quoted(id.key), " of ", total,
                    " elements is larger than any file");
  }
  if (items.size() == 5 || items[5]->kind == Kind::kNone) return id;
  // A view: (key, first, count), as PyTorch wrote until its version 0.4.
  const Items view = items[5]->items;
  if (items[5]->kind != Kind::kTuple || view.size() != 3 ||
      !ReadCount(*view[1], &id.first) || !ReadCount(*view[2], &id.count) ||
      id.first > total || id.count > total - id.first) {
    return complain("storage ", Quoted(id.key), ": a view outside its ", total,
                    " elements");
  }
  return id;
}

absl::StatusOr<std::vector<Tensor>> ReadStateDict(const PickleObject& root,
                                                  const StorageMap& storages,
                                                  absl::string_view where) {
  const Complaint complain(where);
  const PickleObject* const dict = FindStateDict(root);
  if (dict == nullptr) {
    return complain(
        "expected a dict of tensors, or one under \"state_dict\" "
        "or \"model\", and found none");
  }
  RWKVD_RETURN_IF_ERROR(CheckIsOriginal(*dict, complain));
  uint64_t file_bytes = 0;
  for (const auto& [key, bytes] : storages) file_bytes += bytes.size();
  uint64_t tensor_bytes = 0;
  absl::flat_hash_set<absl::string_view> names;
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < dict->items.size(); i += 2) {
    const PickleObject& key = *dict->items[i];
    const PickleObject& value = *dict->items[i + 1];
    if (value.kind != Kind::kTensor) continue;
    if (key.kind != Kind::kString) return complain("a tensor without a name");
    const Complaint complain_of(complain, key.text);
    if (!names.insert(key.text).second) return complain_of("comes twice");
    RWKVD_ASSIGN_OR_RETURN(Tensor tensor,
                           ReadTensor(key.text, value, storages, complain_of));
    tensor_bytes += tensor.num_bytes();
    if (tensor_bytes / kMaxSharing > file_bytes) {
      return complain_of("with it the tensors take over ", kMaxSharing,
                         " times the bytes that the file holds");
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace rwkvd
