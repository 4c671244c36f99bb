// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/gguf.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/file_error.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/byte_reader.h"
#include "core/checkpoint/ggml_types.h"
#include "core/checkpoint/gguf_value_reader.h"

namespace rwkvd {
namespace {

constexpr absl::string_view kMagic = "GGUF";
constexpr uint32_t kMinVersion = 2;  // differs from 3 in nothing that we read
constexpr uint32_t kMaxVersion = 3;

// Limits on a header. The first two are far above what models have; the others
// are those of the format.
constexpr uint64_t kMaxTensors = 100'000;
constexpr uint64_t kMaxKeys = 10'000;
constexpr uint64_t kMaxKeyBytes = 65'535;
constexpr uint64_t kMaxNameBytes = 64;  // of a tensor
constexpr uint32_t kMaxRank = 4;

constexpr absl::string_view kAlignmentKey = "general.alignment";
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = 1 << 20;

// What the header says about a tensor.
struct TensorInfo {
  absl::string_view name;
  std::vector<int64_t> shape;
  DType dtype = DType::kF32;
  uint64_t offset = 0;  // from the beginning of the data
  uint64_t size = 0;    // in bytes
};

// Reads a header front to back. Used once.
class HeaderReader {
 public:
  explicit HeaderReader(const MappedFile& file)
      : file_(file),
        error_(file.path()),
        reader_(file.bytes()),
        values_(file.path()) {}

  absl::StatusOr<Gguf> Read();

 private:
  absl::Status ReadCounts();
  absl::Status ReadKeyValue(uint64_t index);
  absl::StatusOr<TensorInfo> ReadTensorInfo(uint64_t index);
  absl::Status ReadShape(TensorInfo* info);
  absl::StatusOr<uint64_t> Alignment() const;
  absl::StatusOr<std::vector<Tensor>> Locate(
      const std::vector<TensorInfo>& infos) const;

  absl::Status Truncated(const FileError& where) const {
    return TruncatedGguf(reader_, where);
  }

  const MappedFile& file_;
  const FileError error_;
  ByteReader reader_;
  uint64_t num_tensors_ = 0;
  uint64_t num_keys_ = 0;
  GgufValues values_;
};

absl::Status HeaderReader::ReadCounts() {
  absl::string_view magic;
  uint32_t version = 0;
  if (!reader_.ReadText(kMagic.size(), &magic) || !reader_.Read(&version)) {
    return Truncated(error_.In("header field", "version"));
  }
  if (magic != kMagic) return error_("expected a GGUF file");
  if (version != 0 && (version & 0xffff) == 0) {
    return error_(
        "expected a little-endian GGUF file, got a big-endian one; convert it "
        "with gguf_convert_endian.py of llama.cpp");
  }
  if (version < kMinVersion || version > kMaxVersion) {
    return error_("expected GGUF version ", kMinVersion, " or ", kMaxVersion,
                  ", got ", version);
  }
  if (!reader_.Read(&num_tensors_, &num_keys_)) {
    return Truncated(error_.In("header field", "numbers of tensors and keys"));
  }
  if (num_tensors_ > kMaxTensors) {
    return error_("has ", num_tensors_, " tensors, the limit is ", kMaxTensors);
  }
  if (num_keys_ > kMaxKeys) {
    return error_("has ", num_keys_, " keys, the limit is ", kMaxKeys);
  }
  return absl::OkStatus();
}

absl::Status HeaderReader::ReadKeyValue(uint64_t index) {
  const std::string number = absl::StrCat(index, " of ", num_keys_);
  RWKVD_ASSIGN_OR_RETURN(
      const absl::string_view key,
      ReadGgufText(reader_, error_.In("key", number), kMaxKeyBytes));
  RWKVD_ASSIGN_OR_RETURN(const GgufValue value,
                         ReadGgufValue(reader_, error_.In("key", key)));
  if (!values_.Add(key, value)) return error_.In("key", key)("is there twice");
  return absl::OkStatus();
}

// Reads the dimensions, which begin with the one that varies fastest.
absl::Status HeaderReader::ReadShape(TensorInfo* info) {
  const FileError error = error_.In("tensor", info->name);
  uint32_t rank = 0;
  if (!reader_.Read(&rank)) return Truncated(error);
  if (rank < 1 || rank > kMaxRank) {
    return error("expected 1 to ", kMaxRank, " dimensions, got ", rank);
  }
  info->shape.resize(rank);
  uint64_t elements = 1;
  for (uint32_t i = rank; i-- > 0;) {
    uint64_t size = 0;
    if (!reader_.Read(&size)) return Truncated(error);
    if (size == 0 || __builtin_mul_overflow(elements, size, &elements) ||
        elements > uint64_t{1} << 56) {
      return error(
          "expected dimensions of at least 1 and at most 2^56 elements"
          ", got a dimension of ",
          size);
    }
    info->shape[i] = static_cast<int64_t>(size);
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorInfo> HeaderReader::ReadTensorInfo(uint64_t index) {
  const std::string number = absl::StrCat(index, " of ", num_tensors_);
  TensorInfo info;
  RWKVD_ASSIGN_OR_RETURN(
      info.name,
      ReadGgufText(reader_, error_.In("tensor", number), kMaxNameBytes));
  RWKVD_RETURN_IF_ERROR(ReadShape(&info));
  const FileError error = error_.In("tensor", info.name);
  uint32_t type = 0;
  if (!reader_.Read(&type, &info.offset)) return Truncated(error);
  const std::optional<DType> dtype = DTypeOfGgml(type);
  if (!dtype.has_value()) {
    return error("has the type ", NameOfGgmlType(type),
                 ", which is not supported");
  }
  info.dtype = *dtype;
  const int64_t row = info.shape.back();
  if (row % BlockElements(info.dtype) != 0) {
    return error("rows of ", NameOf(info.dtype), " expected a multiple of ",
                 BlockElements(info.dtype), " elements, got ", row);
  }
  info.size = static_cast<uint64_t>(
      Tensor{.dtype = info.dtype, .shape = info.shape}.num_bytes());
  return info;
}

absl::StatusOr<uint64_t> HeaderReader::Alignment() const {
  RWKVD_ASSIGN_OR_RETURN(const std::optional<int64_t> alignment,
                         values_.Integer(kAlignmentKey));
  if (!alignment.has_value()) return kDefaultAlignment;
  const uint64_t bytes = static_cast<uint64_t>(*alignment);
  if (bytes == 0 || (bytes & (bytes - 1)) != 0 || bytes > kMaxAlignment) {
    return error_.In("key", kAlignmentKey)("expected a power of two up to ",
                                           kMaxAlignment, ", got ", bytes);
  }
  return bytes;
}

// The tensors as views of the data, which begins behind the position.
absl::StatusOr<std::vector<Tensor>> HeaderReader::Locate(
    const std::vector<TensorInfo>& infos) const {
  RWKVD_ASSIGN_OR_RETURN(const uint64_t alignment, Alignment());
  const uint64_t file_bytes = file_.bytes().size();
  const uint64_t data_at =
      (reader_.position() + alignment - 1) / alignment * alignment;
  std::vector<Tensor> tensors;
  for (const TensorInfo& info : infos) {
    const FileError error = error_.In("tensor", info.name);
    if (info.offset % alignment != 0) {
      return error("expected an offset that is a multiple of ", alignment,
                   ", got ", info.offset);
    }
    if (data_at > file_bytes || info.offset > file_bytes - data_at ||
        info.size > file_bytes - data_at - info.offset) {
      return error(info.size, " bytes from byte ", info.offset,
                   " of the data on, which begins at byte ", data_at,
                   ", exceed the file of ", file_bytes,
                   " bytes; it may be truncated");
    }
    Tensor& tensor = tensors.emplace_back();
    tensor.name = std::string(info.name);
    tensor.dtype = info.dtype;
    tensor.shape = info.shape;
    tensor.data = file_.bytes().subspan(data_at + info.offset, info.size);
  }
  return tensors;
}

// Checks that no two tensors have the same name or share bytes.
absl::Status CheckDistinct(const std::vector<Tensor>& tensors,
                           const FileError& error) {
  absl::flat_hash_set<absl::string_view> names;
  std::vector<const Tensor*> order;
  for (const Tensor& tensor : tensors) {
    if (!names.insert(tensor.name).second) {
      return error.In("tensor", tensor.name)("is there twice");
    }
    order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(), [](const Tensor* a, const Tensor* b) {
    return a->data.data() < b->data.data();
  });
  for (size_t i = 1; i < order.size(); ++i) {
    const auto& before = order[i - 1]->data;
    if (before.data() + before.size() > order[i]->data.data()) {
      return error.In("tensor", order[i]->name)("overlaps with tensor ",
                                                Quoted(order[i - 1]->name));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Gguf> HeaderReader::Read() {
  RWKVD_RETURN_IF_ERROR(ReadCounts());
  for (uint64_t i = 0; i < num_keys_; ++i) {
    RWKVD_RETURN_IF_ERROR(ReadKeyValue(i));
  }
  std::vector<TensorInfo> infos;
  for (uint64_t i = 0; i < num_tensors_; ++i) {
    RWKVD_ASSIGN_OR_RETURN(infos.emplace_back(), ReadTensorInfo(i));
  }
  RWKVD_ASSIGN_OR_RETURN(std::vector<Tensor> tensors, Locate(infos));
  RWKVD_RETURN_IF_ERROR(CheckDistinct(tensors, error_));
  return Gguf{std::move(values_), std::move(tensors)};
}

}  // namespace

bool IsGguf(absl::Span<const std::byte> bytes) {
  return absl::StartsWith(
      absl::string_view(reinterpret_cast<const char*>(bytes.data()),
                        bytes.size()),
      kMagic);
}

absl::StatusOr<Gguf> ParseGguf(const MappedFile& file) {
  return HeaderReader(file).Read();
}

}  // namespace rwkvd
