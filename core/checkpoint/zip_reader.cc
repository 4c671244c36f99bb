// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/zip_reader.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/byte_reader.h"

namespace rwkvd {
namespace {

constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kCentralSignature = 0x02014b50;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kLocator64Signature = 0x07064b50;

constexpr size_t kCentralBytes = 46;  // of a directory entry without its name
constexpr size_t kEndBytes = 22;
constexpr size_t kLocator64Bytes = 20;
constexpr size_t kMaxCommentBytes = 0xffff;
constexpr size_t kMaxNameBytes = 4096;

// What a field of 32 or 16 bits holds when a ZIP64 record holds its value.
constexpr uint32_t kIn64 = 0xffffffff;
constexpr uint16_t kIn64Short = 0xffff;
constexpr uint16_t kExtra64 = 1;  // the id of that record in an extra field

constexpr uint16_t kEncryptedFlags = 1 << 0 | 1 << 6 | 1 << 13;
constexpr uint16_t kSizesFollowData = 1 << 3;
constexpr uint16_t kStored = 0;

// What the directory says of an entry, and where the entry lies.
struct Listed {
  absl::string_view name;
  uint16_t flags;
  uint16_t method;
  uint64_t stored_size;  // in the archive
  uint64_t size;         // unpacked
  uint64_t header;       // first byte of the local header
  uint64_t end = 0;      // behind the last byte of the data
};

struct Directory {
  uint64_t offset;
  uint64_t size;
  uint64_t num_entries;
};

// Builds messages that begin with the file, and the entry where there is one.
class Complaint {
 public:
  explicit Complaint(absl::string_view where) : where_(where) {}
  Complaint(const Complaint& file, absl::string_view entry)
      : where_(absl::StrCat(file.where_, ": zip entry \"",
                            absl::Utf8SafeCEscape(entry.substr(0, 200)),
                            "\"")) {}

  template <typename... Args>
  absl::Status operator()(const Args&... args) const {
    return absl::InvalidArgumentError(absl::StrCat(where_, ": ", args...));
  }

 private:
  std::string where_;
};

// The record that ends an archive.
struct End {
  size_t at;  // its first byte
  uint16_t disk, directory_disk, entries_here, entries;
  uint32_t size, offset;  // of the directory
};

// The last that is followed by exactly the comment that it announces.
std::optional<End> FindEnd(absl::Span<const std::byte> bytes) {
  if (bytes.size() < kEndBytes) return std::nullopt;
  const size_t last = bytes.size() - kEndBytes;
  const size_t first = last - std::min(last, kMaxCommentBytes);
  for (size_t at = last + 1; at-- > first;) {
    ByteReader reader(bytes.subspan(at));
    End end = {.at = at};
    uint32_t signature;
    uint16_t comment;
    if (reader.Read(&signature, &end.disk, &end.directory_disk,
                    &end.entries_here, &end.entries, &end.size, &end.offset,
                    &comment) &&
        signature == kEndSignature && comment == last - at) {
      return end;
    }
  }
  return std::nullopt;
}

// Reads the ZIP64 end record that the locator at `locator_at` points to, if
// there is a locator. `end` is where the directory must have ended.
absl::StatusOr<std::optional<Directory>> ReadEnd64(
    absl::Span<const std::byte> bytes, size_t locator_at, uint64_t* limit,
    const Complaint& complain) {
  uint32_t signature, disk, num_disks;
  uint64_t offset;
  ByteReader locator(bytes.subspan(locator_at, kLocator64Bytes));
  if (!locator.Read(&signature, &disk, &offset, &num_disks) ||
      signature != kLocator64Signature) {
    return std::nullopt;
  }
  if (disk != 0 || num_disks > 1) {
    return complain("zip archive of several volumes, expected one");
  }
  if (offset > locator_at) {
    return complain("ZIP64 end record at byte ", offset,
                    ", behind its locator at byte ", locator_at);
  }
  uint64_t record_size, entries_here;
  uint16_t made_by, needs;
  uint32_t directory_disk;
  Directory directory;
  ByteReader record(bytes.subspan(offset, locator_at - offset));
  if (!record.Read(&signature, &record_size, &made_by, &needs, &disk,
                   &directory_disk, &entries_here, &directory.num_entries,
                   &directory.size, &directory.offset) ||
      signature != kEnd64Signature) {
    return complain("no ZIP64 end record at byte ", offset,
                    ", where its locator says it is");
  }
  if (disk != 0 || directory_disk != 0 ||
      entries_here != directory.num_entries) {
    return complain("zip archive of several volumes, expected one");
  }
  *limit = offset;
  return directory;
}

bool Agree(uint64_t field, uint64_t in64, uint64_t value) {
  return field == in64 || field == value;
}

absl::StatusOr<Directory> FindDirectory(absl::Span<const std::byte> bytes,
                                        const Complaint& complain) {
  const std::optional<End> end = FindEnd(bytes);
  if (!end.has_value()) {
    return complain("no end of a zip archive found; is the file cut off?");
  }
  Directory directory = {
      .offset = end->offset, .size = end->size, .num_entries = end->entries};
  uint64_t limit = end->at;
  std::optional<Directory> wide;
  if (end->at >= kLocator64Bytes) {
    RWKVD_ASSIGN_OR_RETURN(
        wide, ReadEnd64(bytes, end->at - kLocator64Bytes, &limit, complain));
  }
  if (wide.has_value()) {
    if (!Agree(end->entries, kIn64Short, wide->num_entries) ||
        !Agree(end->size, kIn64, wide->size) ||
        !Agree(end->offset, kIn64, wide->offset)) {
      return complain("the two end records of the zip archive disagree");
    }
    directory = *wide;
  } else if (end->disk != 0 || end->directory_disk != 0 ||
             end->entries_here != end->entries) {
    return complain("zip archive of several volumes, expected one");
  }
  if (directory.offset > limit || directory.size > limit - directory.offset) {
    return complain("zip directory of ", directory.size, " bytes at byte ",
                    directory.offset, " reaches past its end at byte ", limit);
  }
  if (directory.num_entries > directory.size / kCentralBytes) {
    return complain("zip directory announces ", directory.num_entries,
                    " entries, which do not fit its ", directory.size,
                    " bytes");
  }
  return directory;
}

// Replaces those of `fields` that a ZIP64 record of `extra` holds, in the
// record's order. False if one is missing there.
bool Read64(absl::Span<const std::byte> extra,
            absl::Span<uint64_t* const> fields) {
  ByteReader blocks(extra);
  absl::Span<const std::byte> values;
  uint16_t id, size;
  while (blocks.Read(&id, &size)) {
    absl::Span<const std::byte> block;
    if (!blocks.ReadBytes(size, &block)) break;
    if (id == kExtra64) {
      values = block;
      break;
    }
  }
  ByteReader reader(values);
  for (uint64_t* field : fields) {
    if (*field == kIn64 && !reader.Read(field)) return false;
  }
  return true;
}

// Takes the next entry off the directory.
absl::StatusOr<Listed> ReadListed(ByteReader& reader, uint64_t index,
                                  const Complaint& complain) {
  uint32_t signature, crc, stored_size, size, external, header;
  uint16_t made_by, needs, time, date, name_size, extra_size, comment_size,
      disk, internal;
  Listed entry;
  absl::Span<const std::byte> extra, comment;
  if (!reader.Read(&signature, &made_by, &needs, &entry.flags, &entry.method,
                   &time, &date, &crc, &stored_size, &size, &name_size,
                   &extra_size, &comment_size, &disk, &internal, &external,
                   &header) ||
      signature != kCentralSignature ||
      !reader.ReadText(name_size, &entry.name) ||
      !reader.ReadBytes(extra_size, &extra) ||
      !reader.ReadBytes(comment_size, &comment)) {
    return complain("zip directory is damaged at its entry ", index);
  }
  const Complaint complain_of(complain, entry.name);
  if (name_size > kMaxNameBytes) {
    return complain_of("name of ", name_size, " bytes is over the limit of ",
                       kMaxNameBytes);
  }
  if (disk != 0 && disk != kIn64Short) {
    return complain_of("lies in another volume");
  }
  entry.stored_size = stored_size;
  entry.size = size;
  entry.header = header;
  if (!Read64(extra, {&entry.size, &entry.stored_size, &entry.header})) {
    return complain_of("its ZIP64 record is missing or cut off");
  }
  return entry;
}

// Without this the data would not be the file's bytes as they lie.
absl::Status CheckIsStored(const Listed& entry, const Complaint& complain) {
  if ((entry.flags & kEncryptedFlags) != 0) {
    return complain("is encrypted, as torch.save never writes it");
  }
  if (entry.method != kStored) {
    return complain("is compressed (method ", entry.method,
                    "), as torch.save never writes it; unpack it and pack it "
                    "again without compression");
  }
  if (entry.size != entry.stored_size) {
    return complain("takes ", entry.stored_size, " bytes for contents of ",
                    entry.size);
  }
  return absl::OkStatus();
}

// Whether a header's size does not contradict the directory's. Writers that do
// not know it yet leave it open.
bool SizeFits(uint64_t size, const Listed& entry) {
  const bool open = (entry.flags & kSizesFollowData) != 0;
  return size == entry.size || (open && (size == 0 || size == kIn64));
}

// Compares the entry's own header with the directory. Returns the data.
absl::StatusOr<absl::Span<const std::byte>> ReadData(
    absl::Span<const std::byte> before_directory, Listed& entry,
    const Complaint& complain) {
  if (entry.header > before_directory.size()) {
    return complain("begins at byte ", entry.header,
                    ", behind the directory's first byte ",
                    before_directory.size());
  }
  ByteReader reader(before_directory.subspan(entry.header));
  uint32_t signature, crc, stored_size, size;
  uint16_t needs, flags, method, time, date, name_size, extra_size;
  absl::string_view name;
  absl::Span<const std::byte> extra, data;
  if (!reader.Read(&signature, &needs, &flags, &method, &time, &date, &crc,
                   &stored_size, &size, &name_size, &extra_size) ||
      signature != kLocalSignature || !reader.ReadText(name_size, &name) ||
      !reader.ReadBytes(extra_size, &extra)) {
    return complain("no header at byte ", entry.header,
                    ", where the directory says it is");
  }
  uint64_t size64 = size, stored_size64 = stored_size;
  if ((entry.flags & kSizesFollowData) == 0 &&
      !Read64(extra, {&size64, &stored_size64})) {
    return complain("its ZIP64 record is missing or cut off");
  }
  if (name != entry.name || method != entry.method ||
      (flags & kEncryptedFlags) != 0 || !SizeFits(size64, entry) ||
      !SizeFits(stored_size64, entry)) {
    return complain("its header at byte ", entry.header,
                    " disagrees with the directory");
  }
  if (!reader.ReadBytes(entry.size, &data)) {
    return complain("its ", entry.size, " bytes from byte ",
                    entry.header + reader.position(),
                    " reach into the directory at byte ",
                    before_directory.size());
  }
  entry.end = entry.header + reader.position();
  return data;
}

absl::Status CheckNoOverlap(std::vector<Listed> listed,
                            const Complaint& complain) {
  std::sort(listed.begin(), listed.end(), [](const Listed& a, const Listed& b) {
    return a.header < b.header;
  });
  for (size_t i = 1; i < listed.size(); ++i) {
    if (listed[i].header < listed[i - 1].end) {
      return Complaint(complain, listed[i].name)(
          "begins at byte ", listed[i].header,
          ", inside the entry before it, which ends at byte ",
          listed[i - 1].end);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<ZipEntry>> ReadZip(absl::Span<const std::byte> bytes,
                                              absl::string_view where) {
  const Complaint complain(where);
  RWKVD_ASSIGN_OR_RETURN(const Directory directory,
                         FindDirectory(bytes, complain));
  const auto before = bytes.first(directory.offset);
  ByteReader reader(bytes.subspan(directory.offset, directory.size));
  std::vector<Listed> listed;
  std::vector<ZipEntry> entries;
  for (uint64_t i = 0; i < directory.num_entries; ++i) {
    RWKVD_ASSIGN_OR_RETURN(Listed entry, ReadListed(reader, i, complain));
    const Complaint complain_of(complain, entry.name);
    RWKVD_RETURN_IF_ERROR(CheckIsStored(entry, complain_of));
    RWKVD_ASSIGN_OR_RETURN(const auto data,
                           ReadData(before, entry, complain_of));
    entries.push_back({entry.name, data});
    listed.push_back(entry);
  }
  if (reader.remaining() != 0) {
    return complain("zip directory has ", reader.remaining(),
                    " bytes behind its last entry");
  }
  RWKVD_RETURN_IF_ERROR(CheckNoOverlap(std::move(listed), complain));
  std::sort(
      entries.begin(), entries.end(),
      [](const ZipEntry& a, const ZipEntry& b) { return a.name < b.name; });
  for (size_t i = 1; i < entries.size(); ++i) {
    if (entries[i].name == entries[i - 1].name) {
      return Complaint(complain, entries[i].name)("is listed twice");
    }
  }
  return entries;
}

}  // namespace rwkvd
