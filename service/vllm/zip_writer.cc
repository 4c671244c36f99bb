// SPDX-License-Identifier: Apache-2.0
#include "service/vllm/zip_writer.h"

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "core/base/crc32.h"

namespace rwkvd {
namespace {

constexpr uint32_t kFileSignature = 0x04034b50;
constexpr uint32_t kDirectorySignature = 0x02014b50;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint16_t kVersion20 = 20;
constexpr uint16_t kUtf8Names = 1 << 11;    // a flag
constexpr uint16_t kFirstDay = 1 << 5 | 1;  // 1980-01-01
constexpr uint32_t kRegularFile = uint32_t{0100644} << 16;
constexpr uint16_t kUnix = 3 << 8;

// In little-endian order.
void Append16(uint16_t value, std::string* out) {
  out->push_back(static_cast<char>(value & 0xff));
  out->push_back(static_cast<char>(value >> 8));
}

void Append32(uint32_t value, std::string* out) {
  Append16(static_cast<uint16_t>(value & 0xffff), out);
  Append16(static_cast<uint16_t>(value >> 16), out);
}

// The fields that a file's header and its entry in the directory share.
std::string CommonFields(absl::string_view name, absl::string_view contents) {
  Crc32 crc;
  crc.Update(absl::MakeConstSpan(
      reinterpret_cast<const std::byte*>(contents.data()), contents.size()));
  std::string fields;
  Append16(kVersion20, &fields);
  Append16(kUtf8Names, &fields);
  Append16(0, &fields);  // stored
  Append16(0, &fields);  // midnight
  Append16(kFirstDay, &fields);
  Append32(crc.value(), &fields);
  Append32(static_cast<uint32_t>(contents.size()), &fields);  // compressed
  Append32(static_cast<uint32_t>(contents.size()), &fields);
  Append16(static_cast<uint16_t>(name.size()), &fields);
  Append16(0, &fields);  // no extra field
  return fields;
}

}  // namespace

void ZipWriter::Add(absl::string_view name, absl::string_view contents) {
  const auto offset = static_cast<uint32_t>(archive_.size());
  const std::string common = CommonFields(name, contents);
  Append32(kFileSignature, &archive_);
  absl::StrAppend(&archive_, common, name, contents);
  Append32(kDirectorySignature, &directory_);
  Append16(kUnix | kVersion20, &directory_);
  directory_ += common;
  Append16(0, &directory_);  // no comment
  Append16(0, &directory_);  // the first disk
  Append16(0, &directory_);  // no internal attributes
  Append32(kRegularFile, &directory_);
  Append32(offset, &directory_);
  absl::StrAppend(&directory_, name);
  ++num_files_;
}

std::string ZipWriter::Finish() {
  const auto offset = static_cast<uint32_t>(archive_.size());
  archive_ += directory_;
  Append32(kEndSignature, &archive_);
  Append32(0, &archive_);  // one disk
  Append16(num_files_, &archive_);
  Append16(num_files_, &archive_);
  Append32(static_cast<uint32_t>(directory_.size()), &archive_);
  Append32(offset, &archive_);
  Append16(0, &archive_);  // no comment
  return std::move(archive_);
}

}  // namespace rwkvd
