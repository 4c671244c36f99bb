// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/gguf_writer.h"

#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"

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

std::string GgufWriter::Bytes() const {
  std::string file =
      absl::StrCat("GGUF", LittleEndian(version, 4),
                   LittleEndian(tensors_.size() + extra_tensors, 8),
                   LittleEndian(keys_.size() + extra_keys, 8));
  for (const std::string& key : keys_) file += key;
  std::string data;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    Align(&data, alignment);
    uint64_t offset = data.size();
    if (i == 0) offset += first_offset;
    if (i == 1) offset += second_offset;
    absl::StrAppend(&file, tensors_[i].info, LittleEndian(offset, 8));
    data += tensors_[i].bytes;
  }
  Align(&file, alignment);
  return file + data;
}

}  // namespace rwkvd::testing
