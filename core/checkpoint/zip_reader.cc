// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/zip_reader.h"

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "core/base/file_error.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/byte_reader.h"
#include "core/checkpoint/zip_directory.h"

namespace rwkvd {
namespace {

using Bytes = absl::Span<const std::byte>;

constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kCentralSignature = 0x02014b50;
constexpr size_t kMaxNameBytes = 4096;

// What a field of 32 bits holds when a ZIP64 block of the extra field that
// follows holds its value.
constexpr uint32_t kIn64 = 0xffffffff;
constexpr uint16_t kIn64Short = 0xffff;
constexpr uint16_t kId64 = 1;   // of that block
constexpr int kMaxBlocks = 32;  // looked at until it is found

constexpr uint16_t kEncryptedFlags = 1 << 0 | 1 << 6 | 1 << 13;
constexpr uint16_t kSizesFollowData = 1 << 3;
constexpr uint16_t kStored = 0;

// What the directory says of an entry.
struct Listed {
  absl::string_view name;
  uint16_t flags;
  uint16_t method;
  uint64_t stored_size;  // in the archive
  uint64_t size;         // unpacked
  uint64_t header;       // first byte of the entry's own header
};

FileError InEntry(const Listed& entry, const FileError& error) {
  return error.In("zip entry", entry.name);
}

// The ZIP64 block of an extra field; empty if there is none.
Bytes Find64(Bytes extra) {
  ByteReader reader(extra);
  for (int i = 0; i < kMaxBlocks; ++i) {
    uint16_t id, size;
    Bytes block;
    if (!reader.Read(&id, &size) || !reader.ReadBytes(size, &block)) break;
    if (id == kId64) return block;
  }
  return {};
}

// Replaces those of `fields` that the ZIP64 block holds, in its order. False
// if one is missing there.
bool Read64(Bytes extra, absl::Span<uint64_t* const> fields) {
  ByteReader reader(Find64(extra));
  for (uint64_t* field : fields) {
    if (*field == kIn64 && !reader.Read(field)) return false;
  }
  return true;
}

// Without this the data would not be the file's bytes as they lie.
absl::Status CheckIsStored(const Listed& entry, const FileError& error) {
  if ((entry.flags & kEncryptedFlags) != 0) {
    return error("is encrypted, as torch.save never writes it");
  }
  if (entry.method != kStored) {
    return error("is compressed (method ", entry.method,
                 "), as torch.save never writes it; unpack it and pack it "
                 "again without compression");
  }
  if (entry.size != entry.stored_size) {
    return error("takes ", entry.stored_size, " bytes for contents of ",
                 entry.size);
  }
  return absl::OkStatus();
}

// Takes the next entry off the directory. `index` counts them.
absl::StatusOr<Listed> ReadListed(ByteReader& reader, uint64_t index,
                                  const FileError& error) {
  const size_t begin = reader.position();
  uint32_t signature, crc, stored_size, size, external, header;
  uint16_t made_by, needs, time, date, name_size, extra_size, comment_size,
      disk, internal;
  Listed entry;
  Bytes extra, comment;
  if (!reader.Read(&signature, &made_by, &needs, &entry.flags, &entry.method,
                   &time, &date, &crc, &stored_size, &size, &name_size,
                   &extra_size, &comment_size, &disk, &internal, &external,
                   &header) ||
      signature != kCentralSignature ||
      !reader.ReadText(name_size, &entry.name) ||
      !reader.ReadBytes(extra_size, &extra) ||
      !reader.ReadBytes(comment_size, &comment)) {
    return error("zip directory is damaged at its entry ", index,
                 ", which begins at its byte ", begin);
  }
  const FileError entry_error = InEntry(entry, error);
  if (name_size > kMaxNameBytes) {
    return entry_error("name of ", name_size, " bytes is over the limit of ",
                       kMaxNameBytes);
  }
  if (disk != 0 && disk != kIn64Short) {
    return entry_error("lies in another volume");
  }
  entry.stored_size = stored_size;
  entry.size = size;
  entry.header = header;
  if (!Read64(extra, {&entry.size, &entry.stored_size, &entry.header})) {
    return entry_error("its ZIP64 record is missing or cut off");
  }
  RWKVD_RETURN_IF_ERROR(CheckIsStored(entry, entry_error));
  return entry;
}

// The directory's entries, in the order in which they lie in the archive.
absl::StatusOr<std::vector<Listed>> ReadDirectory(Bytes bytes,
                                                  uint64_t num_entries,
                                                  const FileError& error) {
  ByteReader reader(bytes);
  std::vector<Listed> listed;
  for (uint64_t i = 0; i < num_entries; ++i) {
    RWKVD_ASSIGN_OR_RETURN(const Listed entry, ReadListed(reader, i, error));
    listed.push_back(entry);
  }
  if (reader.remaining() != 0) {
    return error("zip directory has ", reader.remaining(),
                 " bytes behind its last entry");
  }
  std::sort(listed.begin(), listed.end(), [](const Listed& a, const Listed& b) {
    return a.header < b.header;
  });
  return listed;
}

// Whether a header's size does not contradict the directory's. Writers that do
// not know it yet leave it open.
bool SizeFits(uint64_t size, const Listed& entry) {
  const bool open = (entry.flags & kSizesFollowData) != 0;
  return size == entry.size || (open && (size == 0 || size == kIn64));
}

// Takes the header off `reader`, which stands at it, and compares it with the
// directory.
absl::Status TakeHeader(ByteReader& reader, const Listed& entry,
                        const FileError& error) {
  uint32_t signature, crc, stored_size, size;
  uint16_t needs, flags, method, time, date, name_size, extra_size;
  absl::string_view name;
  Bytes extra;
  if (!reader.Read(&signature, &needs, &flags, &method, &time, &date, &crc,
                   &stored_size, &size, &name_size, &extra_size) ||
      signature != kLocalSignature || !reader.ReadText(name_size, &name) ||
      !reader.ReadBytes(extra_size, &extra)) {
    return error("no header at byte ", entry.header,
                 ", where the directory says it is");
  }
  uint64_t size64 = size, stored_size64 = stored_size;
  if ((entry.flags & kSizesFollowData) == 0 &&
      !Read64(extra, {&size64, &stored_size64})) {
    return error("its ZIP64 record is missing or cut off");
  }
  if (name != entry.name || method != entry.method ||
      (flags & kEncryptedFlags) != 0 || !SizeFits(size64, entry) ||
      !SizeFits(stored_size64, entry)) {
    return error("its header at byte ", entry.header,
                 " disagrees with the directory");
  }
  return absl::OkStatus();
}

// The entry's data. `before` is all that comes before the directory; `*end` is
// the first byte behind the entry before it and becomes that behind this one.
absl::StatusOr<Bytes> ReadData(Bytes before, const Listed& entry, uint64_t* end,
                               const FileError& error) {
  if (entry.header < *end) {
    return error("begins at byte ", entry.header,
                 ", inside the entry before it, which ends at byte ", *end);
  }
  if (entry.header > before.size()) {
    return error("begins at byte ", entry.header,
                 ", behind the directory's first byte ", before.size());
  }
  ByteReader reader(before.subspan(entry.header));
  RWKVD_RETURN_IF_ERROR(TakeHeader(reader, entry, error));
  const uint64_t begin = entry.header + reader.position();
  Bytes data;
  if (!reader.ReadBytes(entry.size, &data)) {
    return error("its ", entry.size, " bytes from byte ", begin,
                 " reach into the directory at byte ", before.size());
  }
  *end = begin + entry.size;
  return data;
}

}  // namespace

absl::StatusOr<std::vector<ZipEntry>> ReadZip(absl::Span<const std::byte> bytes,
                                              absl::string_view where) {
  const FileError error(where);
  RWKVD_ASSIGN_OR_RETURN(const ZipDirectory directory,
                         FindZipDirectory(bytes, error));
  RWKVD_ASSIGN_OR_RETURN(
      const std::vector<Listed> listed,
      ReadDirectory(bytes.subspan(directory.offset, directory.size),
                    directory.num_entries, error));
  std::vector<ZipEntry> entries;
  uint64_t end = 0;
  for (const Listed& entry : listed) {
    RWKVD_ASSIGN_OR_RETURN(const Bytes data,
                           ReadData(bytes.first(directory.offset), entry, &end,
                                    InEntry(entry, error)));
    entries.push_back({entry.name, data});
  }
  std::sort(
      entries.begin(), entries.end(),
      [](const ZipEntry& a, const ZipEntry& b) { return a.name < b.name; });
  for (size_t i = 1; i < entries.size(); ++i) {
    if (entries[i].name == entries[i - 1].name) {
      return error.In("zip entry", entries[i].name)("is listed twice");
    }
  }
  return entries;
}

}  // namespace rwkvd
