// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/gguf_writer.h"

#include <bit>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"

namespace rwkvd::testing {
namespace {

constexpr uint32_t kU32 = 4, kI32 = 5, kF32 = 6, kString = 8, kArray = 9;
constexpr uint32_t kGgmlF32 = 0;

void Align(std::string* bytes, size_t alignment) {
  bytes->append((alignment - bytes->size() % alignment) % alignment, '\0');
}

std::string ArrayHeader(uint32_t type, size_t size) {
  return absl::StrCat(LittleEndian(type, 4), LittleEndian(size, 8));
}

}  // namespace

std::string LittleEndian(uint64_t number, size_t size) {
  std::string bytes;
  for (size_t i = 0; i < size; ++i) {
    bytes.push_back(static_cast<char>(number >> (8 * i)));
  }
  return bytes;
}

std::string GgufString(absl::string_view text) {
  return absl::StrCat(LittleEndian(text.size(), 8), text);
}

GgufWriter& GgufWriter::Key(absl::string_view key, uint32_t type,
                            absl::string_view bytes) {
  keys_.push_back(absl::StrCat(GgufString(key), LittleEndian(type, 4), bytes));
  return *this;
}

GgufWriter& GgufWriter::U32(absl::string_view key, uint32_t value) {
  return Key(key, kU32, LittleEndian(value, 4));
}

GgufWriter& GgufWriter::F32(absl::string_view key, float value) {
  return Key(key, kF32, LittleEndian(std::bit_cast<uint32_t>(value), 4));
}

GgufWriter& GgufWriter::Text(absl::string_view key, absl::string_view value) {
  return Key(key, kString, GgufString(value));
}

GgufWriter& GgufWriter::Texts(absl::string_view key,
                              const std::vector<std::string>& values) {
  std::string bytes = ArrayHeader(kString, values.size());
  for (const std::string& value : values) bytes += GgufString(value);
  return Key(key, kArray, bytes);
}

GgufWriter& GgufWriter::I32s(absl::string_view key,
                             const std::vector<int32_t>& values) {
  std::string bytes = ArrayHeader(kI32, values.size());
  for (int32_t value : values) {
    bytes += LittleEndian(static_cast<uint32_t>(value), 4);
  }
  return Key(key, kArray, bytes);
}

GgufWriter& GgufWriter::Tensor(absl::string_view name,
                               std::vector<uint64_t> dims, uint32_t type,
                               std::string bytes) {
  std::string info =
      absl::StrCat(GgufString(name), LittleEndian(dims.size(), 4));
  for (uint64_t size : dims) info += LittleEndian(size, 8);
  info += LittleEndian(type, 4);
  tensors_.push_back({std::move(info), std::move(bytes)});
  return *this;
}

GgufWriter& GgufWriter::Floats(absl::string_view name,
                               std::vector<uint64_t> dims,
                               const std::vector<float>& values) {
  std::string bytes;
  for (float value : values) {
    bytes += LittleEndian(std::bit_cast<uint32_t>(value), 4);
  }
  return Tensor(name, std::move(dims), kGgmlF32, std::move(bytes));
}

GgufWriter& GgufWriter::Zeros(absl::string_view name,
                              std::vector<uint64_t> dims, uint32_t type,
                              uint64_t num_bytes) {
  Tensor(name, std::move(dims), type, "");
  tensors_.back().num_zeros = num_bytes;
  return *this;
}

std::string GgufWriter::Header(std::vector<uint64_t>* offsets) const {
  std::string header =
      absl::StrCat("GGUF", LittleEndian(version, 4),
                   LittleEndian(tensors_.size() + extra_tensors, 8),
                   LittleEndian(keys_.size() + extra_keys, 8));
  for (const std::string& key : keys_) header += key;
  uint64_t end = 0;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    offsets->push_back((end + alignment - 1) / alignment * alignment);
    end = offsets->back() + tensors_[i].bytes.size() + tensors_[i].num_zeros;
    uint64_t written = offsets->back();
    if (i == 0) written += first_offset;
    if (i == 1) written += second_offset;
    absl::StrAppend(&header, tensors_[i].info, LittleEndian(written, 8));
  }
  offsets->push_back(end);
  Align(&header, alignment);
  return header;
}

std::string GgufWriter::Bytes() const {
  std::vector<uint64_t> offsets;
  std::string file = Header(&offsets);
  const size_t data_at = file.size();
  for (size_t i = 0; i < tensors_.size(); ++i) {
    file.resize(data_at + offsets[i]);
    file += tensors_[i].bytes;
  }
  file.resize(data_at + offsets.back());
  return file;
}

uint64_t GgufWriter::WriteOrDie(const std::string& path) const {
  std::vector<uint64_t> offsets;
  const std::string header = Header(&offsets);
  std::ofstream file(path, std::ios::binary);
  file << header;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    file.seekp(static_cast<std::streamoff>(header.size() + offsets[i]));
    file << tensors_[i].bytes;
  }
  file.close();
  RWKVD_CHECK(file.good());
  const uint64_t size = header.size() + offsets.back();
  std::filesystem::resize_file(path, size);
  return size;
}

}  // namespace rwkvd::testing
