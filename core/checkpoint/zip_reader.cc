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

constexpr uint16_t kZip64Id = 1;  // of the ZIP64 block of the extra field
constexpr int kMaxBlocks = 32;    // examined to find that block

constexpr uint16_t kEncryptedFlags = 1 << 0 | 1 << 6 | 1 << 13;
constexpr uint16_t kSizesFollowData = 1 << 3;
constexpr uint16_t kStored = 0;

// An entry of the directory.
struct DirectoryEntry {
  absl::string_view name;
  uint16_t flags;
  uint16_t method;
  uint32_t crc32;        // of the data
  uint64_t stored_size;  // bytes in the archive
  uint64_t size;         // bytes after decompression
  uint64_t header;       // position of the local header
};

FileError InEntry(const DirectoryEntry& entry, const FileError& error) {
  return error.In("zip entry", entry.name);
}

// The ZIP64 block of an extra field; empty if there is none.
Bytes FindZip64Block(Bytes extra) {
  ByteReader reader(extra);
  for (int i = 0; i < kMaxBlocks; ++i) {
    uint16_t id, size;
    Bytes block;
    if (!reader.Read(&id, &size) || !reader.ReadBytes(size, &block)) break;
    if (id == kZip64Id) return block;
  }
  return {};
}

// Replaces each of `fields` whose value is in the ZIP64 block by that value.
// `fields` are in the order of the block. Returns false if a value is missing.
bool ReadZip64Fields(Bytes extra, absl::Span<uint64_t* const> fields) {
  ByteReader reader(FindZip64Block(extra));
  for (uint64_t* field : fields) {
    if (*field == kInZip64 && !reader.Read(field)) return false;
  }
  return true;
}

// Checks that the entry's data is neither compressed nor encrypted.
absl::Status CheckIsStored(const DirectoryEntry& entry,
                           const FileError& error) {
  if ((entry.flags & kEncryptedFlags) != 0) {
    return error("is encrypted, which is not supported");
  }
  if (entry.method != kStored) {
    return error(
        "is compressed (method ", entry.method,
        "), which is not supported; repack the archive without compression");
  }
  if (entry.size != entry.stored_size) {
    return error("expected ", entry.size,
                 " bytes stored without compression, got ", entry.stored_size);
  }
  return absl::OkStatus();
}

// Reads the next entry of the directory, number `index`.
absl::StatusOr<DirectoryEntry> ReadDirectoryEntry(ByteReader& reader,
                                                  uint64_t index,
                                                  const FileError& error) {
  const size_t begin = reader.position();
  uint32_t signature, stored_size, size, external, header;
  uint16_t made_by, needs, time, date, name_size, extra_size, comment_size,
      disk, internal;
  DirectoryEntry entry;
  Bytes extra, comment;
  if (!reader.Read(&signature, &made_by, &needs, &entry.flags, &entry.method,
                   &time, &date, &entry.crc32, &stored_size, &size, &name_size,
                   &extra_size, &comment_size, &disk, &internal, &external,
                   &header) ||
      signature != kCentralSignature ||
      !reader.ReadText(name_size, &entry.name) ||
      !reader.ReadBytes(extra_size, &extra) ||
      !reader.ReadBytes(comment_size, &comment)) {
    return error("zip directory: entry ", index, ", at byte ", begin,
                 " of the directory, is malformed");
  }
  const FileError entry_error = InEntry(entry, error);
  if (name_size > kMaxNameBytes) {
    return entry_error("name has ", name_size, " bytes, the limit is ",
                       kMaxNameBytes);
  }
  if (disk != 0 && disk != kInZip64Short) {
    return entry_error("is in another volume");
  }
  entry.stored_size = stored_size;
  entry.size = size;
  entry.header = header;
  if (!ReadZip64Fields(extra,
                       {&entry.size, &entry.stored_size, &entry.header})) {
    return entry_error("ZIP64 record is missing or truncated");
  }
  RWKVD_RETURN_IF_ERROR(CheckIsStored(entry, entry_error));
  return entry;
}

// The entries of the directory, sorted by their position in the archive.
absl::StatusOr<std::vector<DirectoryEntry>> ReadDirectory(
    Bytes bytes, uint64_t num_entries, const FileError& error) {
  ByteReader reader(bytes);
  std::vector<DirectoryEntry> listed;
  for (uint64_t i = 0; i < num_entries; ++i) {
    RWKVD_ASSIGN_OR_RETURN(const DirectoryEntry entry,
                           ReadDirectoryEntry(reader, i, error));
    listed.push_back(entry);
  }
  if (reader.remaining() != 0) {
    return error("zip directory has ", reader.remaining(),
                 " unexpected bytes after its last entry");
  }
  std::sort(listed.begin(), listed.end(),
            [](const DirectoryEntry& a, const DirectoryEntry& b) {
              return a.header < b.header;
            });
  return listed;
}

// Whether the size in a local header is consistent with the directory. A writer
// that did not know the size in advance leaves it 0 or 0xffffffff and sets a
// flag.
bool IsSizeConsistent(uint64_t size, const DirectoryEntry& entry) {
  const bool is_deferred = (entry.flags & kSizesFollowData) != 0;
  return size == entry.size || (is_deferred && (size == 0 || size == kInZip64));
}

// Reads the local header of an entry and compares it with the directory.
absl::Status ReadLocalHeader(ByteReader& reader, const DirectoryEntry& entry,
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
                 ", where the directory points to");
  }
  uint64_t size64 = size, stored_size64 = stored_size;
  if ((entry.flags & kSizesFollowData) == 0 &&
      !ReadZip64Fields(extra, {&size64, &stored_size64})) {
    return error("ZIP64 record is missing or truncated");
  }
  if (name != entry.name || method != entry.method ||
      (flags & kEncryptedFlags) != 0 || !IsSizeConsistent(size64, entry) ||
      !IsSizeConsistent(stored_size64, entry)) {
    return error("header at byte ", entry.header,
                 " does not match the directory");
  }
  return absl::OkStatus();
}

// The data of an entry. `before` is the archive up to the directory. `*end` is
// the end position of the previous entry, and is set to the end of this one.
absl::StatusOr<Bytes> ReadData(Bytes before, const DirectoryEntry& entry,
                               uint64_t* end, const FileError& error) {
  if (entry.header < *end) {
    return error("begins at byte ", entry.header,
                 ", inside the entry before it, which ends at byte ", *end);
  }
  if (entry.header > before.size()) {
    return error("begins at byte ", entry.header,
                 ", after the start of the directory at byte ", before.size());
  }
  ByteReader reader(before.subspan(entry.header));
  RWKVD_RETURN_IF_ERROR(ReadLocalHeader(reader, entry, error));
  const uint64_t begin = entry.header + reader.position();
  Bytes data;
  if (!reader.ReadBytes(entry.size, &data)) {
    return error(entry.size, " bytes from byte ", begin,
                 " extend into the directory at byte ", before.size());
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
      const std::vector<DirectoryEntry> listed,
      ReadDirectory(bytes.subspan(directory.offset, directory.size),
                    directory.num_entries, error));
  std::vector<ZipEntry> entries;
  uint64_t end = 0;
  for (const DirectoryEntry& entry : listed) {
    RWKVD_ASSIGN_OR_RETURN(const Bytes data,
                           ReadData(bytes.first(directory.offset), entry, &end,
                                    InEntry(entry, error)));
    entries.push_back({entry.name, data, entry.crc32});
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
