// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/zip_writer.h"

#include "absl/strings/str_cat.h"

namespace rwkvd::testing {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kLocalHeaderBytes = 30;
constexpr uint64_t kFlags = 0x0808;  // sizes follow the data; names are UTF-8

std::string Two(uint64_t value) { return LittleEndian(value, 2); }
std::string Four(uint64_t value) { return LittleEndian(value, 4); }
std::string Eight(uint64_t value) { return LittleEndian(value, 8); }

// The padding before the data of an entry whose header begins at `offset`.
std::string Padding(int64_t offset, absl::string_view name) {
  const int64_t unpadded = offset + kLocalHeaderBytes + name.size() + 4;
  const int64_t size = (kAlignment - unpadded % kAlignment) % kAlignment;
  return absl::StrCat("FB", Two(size), std::string(size, 'Z'));
}

}  // namespace

uint32_t Crc32(absl::string_view bytes) {
  uint32_t crc = ~0u;
  for (char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320 : 0);
    }
  }
  return ~crc;
}

std::string LittleEndian(uint64_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

void ZipWriter::Add(absl::string_view name, absl::string_view data) {
  const int64_t offset = bytes_.size();
  const std::string padding = Padding(offset, name);
  const std::string sizes =
      absl::StrCat(Four(Crc32(data)), Four(data.size()), Four(data.size()));
  // Version, flags, method (stored), time, date.
  const std::string kind =
      absl::StrCat(Two(0), Two(kFlags), Two(0), Two(0), Two(0));
  absl::StrAppend(&bytes_, "PK\3\4", kind, std::string(12, '\0'),
                  Two(name.size()), Two(padding.size()), name, padding, data);
  absl::StrAppend(&bytes_, "PK\7\10", sizes);
  absl::StrAppend(&directory_, "PK\1\2", Two(0), kind, sizes, Two(name.size()));
  // No extra field, comment, disk number or attributes.
  absl::StrAppend(&directory_, std::string(12, '\0'), Four(offset), name);
  ++num_entries_;
}

std::string ZipWriter::Finish() {
  const uint64_t directory = bytes_.size();
  const uint64_t end = directory + directory_.size();
  const std::string counts =
      absl::StrCat(Eight(num_entries_), Eight(num_entries_),
                   Eight(directory_.size()), Eight(directory));
  return absl::StrCat(bytes_, directory_,
                      absl::StrCat("PK\6\6", Eight(44), Two(0x031e), Two(45),
                                   Four(0), Four(0), counts),
                      absl::StrCat("PK\6\7", Four(0), Eight(end), Four(1)),
                      absl::StrCat("PK\5\6", Two(0), Two(0), Two(num_entries_),
                                   Two(num_entries_), Four(directory_.size()),
                                   Four(directory), Two(0)));
}

}  // namespace rwkvd::testing
