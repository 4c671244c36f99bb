// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/safetensors.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/file_error.h"
#include "core/base/json.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/unsupported_names.h"

namespace rwkvd {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr int kMaxDepth = 4;  // header > tensor > shape, and some metadata
constexpr size_t kMaxRank = 8;

// The text of the header. InvalidArgument if the file is too short for it.
absl::StatusOr<absl::string_view> HeaderText(const MappedFile& file) {
  const FileError error(file.path());
  const absl::Span<const std::byte> bytes = file.bytes();
  if (bytes.size() < kLengthBytes) {
    return error("not a safetensors file: expected at least 8 bytes, got ",
                 bytes.size());
  }
  uint64_t length = 0;
  for (uint64_t i = 0; i < kLengthBytes; ++i) {
    length |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
  }
  if (length > bytes.size() - kLengthBytes) {
    return error("not a safetensors file, or truncated: expected a header of ",
                 length, " bytes, the number in the first 8 bytes; got ",
                 bytes.size() - kLengthBytes);
  }
  if (length > kMaxHeaderBytes) {
    return error("header has ", length, " bytes, the format's limit is ",
                 kMaxHeaderBytes);
  }
  return absl::string_view(
      reinterpret_cast<const char*>(bytes.data() + kLengthBytes), length);
}

// Reads a number of elements or bytes from a JSON value. Returns false if it is
// not a whole number from 0 to 2^63-1.
bool ReadSize(const Json& value, uint64_t* size) {
  if (!value.is_number_unsigned()) return false;
  *size = value.get<uint64_t>();
  return *size <= std::numeric_limits<int64_t>::max();
}

absl::StatusOr<DType> ReadDType(const Json& entry, const FileError& error) {
  const auto field = entry.find("dtype");
  if (field == entry.end() || !field->is_string()) {
    return error("expected a string \"dtype\"");
  }
  const auto& name = field->get_ref<const std::string&>();
  const std::optional<DType> dtype = DTypeFromName(name);
  if (!dtype.has_value()) {
    return error("expected dtype F32, F16, BF16 or U8, got ", Quoted(name));
  }
  return *dtype;
}

absl::StatusOr<std::vector<int64_t>> ReadShape(const Json& entry,
                                               const FileError& error) {
  const auto field = entry.find("shape");
  if (field == entry.end() || !field->is_array()) {
    return error("expected an array \"shape\"");
  }
  if (field->size() > kMaxRank) {
    return error("expected at most ", kMaxRank, " dimensions, got ",
                 field->size());
  }
  std::vector<int64_t> shape;
  for (const Json& dimension : *field) {
    uint64_t size;
    if (!ReadSize(dimension, &size)) {
      return error("expected whole numbers from 0 to 2^63-1 in \"shape\"");
    }
    shape.push_back(static_cast<int64_t>(size));
  }
  return shape;
}

struct Range {
  uint64_t begin;
  uint64_t end;
};

absl::StatusOr<Range> ReadOffsets(const Json& entry, uint64_t data_bytes,
                                  const FileError& error) {
  const auto field = entry.find("data_offsets");
  Range range;
  if (field == entry.end() || !field->is_array() || field->size() != 2 ||
      !ReadSize((*field)[0], &range.begin) ||
      !ReadSize((*field)[1], &range.end)) {
    return error("expected \"data_offsets\" of two whole numbers");
  }
  if (range.begin > range.end) {
    return error("data_offsets begin at ", range.begin, ", after their end at ",
                 range.end);
  }
  if (range.end > data_bytes) {
    return error("data_offsets end at byte ", range.end, ", but the file has ",
                 data_bytes, " bytes of data; it may be truncated");
  }
  return range;
}

// The size of an array in bytes; empty if it exceeds 2^62. For this limit, a
// dimension of size 0 counts as 1, so that the order of the dimensions does not
// matter.
std::optional<uint64_t> ArrayBytes(absl::Span<const int64_t> shape,
                                   DType dtype) {
  uint64_t bytes = SizeOf(dtype);
  bool empty = false;
  for (int64_t dimension : shape) {
    empty = empty || dimension == 0;
    const uint64_t size = dimension == 0 ? 1 : dimension;
    if (__builtin_mul_overflow(bytes, size, &bytes) || bytes > uint64_t{1}
                                                                   << 62) {
      return std::nullopt;
    }
  }
  return empty ? 0 : bytes;
}

absl::StatusOr<Tensor> ReadTensor(const std::string& name, const Json& entry,
                                  absl::Span<const std::byte> data,
                                  const FileError& error) {
  if (!entry.is_object()) return error("expected an object");
  Tensor tensor;
  tensor.name = name;
  RWKVD_ASSIGN_OR_RETURN(tensor.dtype, ReadDType(entry, error));
  RWKVD_ASSIGN_OR_RETURN(tensor.shape, ReadShape(entry, error));
  RWKVD_ASSIGN_OR_RETURN(const Range range,
                         ReadOffsets(entry, data.size(), error));
  const std::optional<uint64_t> bytes = ArrayBytes(tensor.shape, tensor.dtype);
  if (bytes != range.end - range.begin) {
    return error("shape ", ShapeString(tensor.shape), " of ",
                 NameOf(tensor.dtype), " takes ",
                 bytes.has_value() ? absl::StrCat(*bytes) : "more than 2^62",
                 " bytes, but data_offsets [", range.begin, ", ", range.end,
                 ") span ", range.end - range.begin);
  }
  tensor.data = data.subspan(range.begin, range.end - range.begin);
  return tensor;
}

// Checks that the tensors cover all of the data without overlaps or gaps.
absl::Status CheckCoverage(absl::Span<const Tensor> tensors,
                           absl::Span<const std::byte> data,
                           const FileError& error) {
  std::vector<const Tensor*> order;
  for (const Tensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const Tensor* a, const Tensor* b) {
    // An empty tensor comes before a tensor that begins at the same byte.
    return std::pair(a->data.data(), a->data.size()) <
           std::pair(b->data.data(), b->data.size());
  });
  size_t expected = 0;
  for (const Tensor* tensor : order) {
    const size_t begin = tensor->data.data() - data.data();
    if (begin != expected) {
      return error.In("tensor", tensor->name)(
          "begins at byte ", begin,
          " of the data, but the tensor before it ends at byte ", expected,
          begin < expected ? " (they overlap)" : " (there is a gap)");
    }
    expected = begin + tensor->data.size();
  }
  if (expected != data.size()) {
    return error("the last tensor ends at byte ", expected,
                 " of the data, but the file has ", data.size(),
                 " bytes of data");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Tensor>> ParseSafetensors(const MappedFile& file) {
  const FileError error(file.path());
  RWKVD_ASSIGN_OR_RETURN(const absl::string_view text, HeaderText(file));
  const absl::Span<const std::byte> data =
      file.bytes().subspan(kLengthBytes + text.size());
  RWKVD_ASSIGN_OR_RETURN(
      const Json header,
      ParseJson(text, absl::StrCat(file.path(), ": header"),
                {.max_bytes = kMaxHeaderBytes, .max_depth = kMaxDepth}));
  if (!header.is_object()) return error("header: expected a JSON object");

  std::vector<absl::string_view> names;
  for (const auto& item : header.items()) names.push_back(item.key());
  RWKVD_RETURN_IF_ERROR(CheckSupported(names, error));
  std::vector<Tensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    RWKVD_ASSIGN_OR_RETURN(
        Tensor tensor, ReadTensor(name, entry, data, error.In("tensor", name)));
    tensors.push_back(std::move(tensor));
  }
  RWKVD_RETURN_IF_ERROR(CheckCoverage(tensors, data, error));
  return tensors;
}

}  // namespace rwkvd
