// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/zip_directory.h"

#include <algorithm>
#include <optional>

#include "core/base/status_macros.h"
#include "core/checkpoint/byte_reader.h"

namespace rwkvd {
namespace {

constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kLocator64Signature = 0x07064b50;

constexpr size_t kEndBytes = 22;
constexpr size_t kLocator64Bytes = 20;
constexpr size_t kMaxCommentBytes = 0xffff;
constexpr size_t kMaxZeros = 64 << 20;  // behind the end record
constexpr size_t kEntryBytes =
    46;  // an entry of the directory without its name
// More entries than any model has tensors; it bounds the time for a hostile
// file.
constexpr uint64_t kMaxEntries = 100'000;

// The end record of an archive.
struct End {
  uint64_t at;  // the position of its first byte
  uint16_t disk, directory_disk, entries_here, entries;
  uint32_t size, offset;  // of the directory
};

// Finds the last end record that is followed by a comment of exactly the length
// in the record. If there is none, the last one that is followed by at least
// its comment: torch.load, too, ignores bytes after the end of the archive.
std::optional<End> FindEnd(absl::Span<const std::byte> bytes) {
  if (bytes.size() < kEndBytes) return std::nullopt;
  const size_t last = bytes.size() - kEndBytes;
  const size_t first = last - std::min(last, kMaxCommentBytes);
  std::optional<End> followed_by_more;
  for (size_t at = last + 1; at-- > first;) {
    ByteReader reader(bytes.subspan(at));
    End end = {.at = at};
    uint32_t signature;
    uint16_t comment;
    if (reader.Read(&signature, &end.disk, &end.directory_disk,
                    &end.entries_here, &end.entries, &end.size, &end.offset,
                    &comment) &&
        signature == kEndSignature && comment <= last - at) {
      if (comment == last - at) return end;
      if (!followed_by_more.has_value()) followed_by_more = end;
    }
  }
  return followed_by_more;
}

// The number of zeros at the end, at most kMaxZeros.
size_t CountZerosAtEnd(absl::Span<const std::byte> bytes) {
  const auto last = bytes.last(std::min(bytes.size(), kMaxZeros));
  const auto end =
      std::find_if(last.rbegin(), last.rend(),
                   [](std::byte value) { return value != std::byte{0}; });
  return end - last.rbegin();
}

// Finds the end record, also in front of many zeros, which programs leave that
// reserve the space of a file in large pieces.
absl::StatusOr<End> FindEndBeforeZeros(absl::Span<const std::byte> bytes,
                                       const FileError& error) {
  const std::optional<End> end = FindEnd(bytes);
  if (end.has_value()) return *end;
  const size_t zeros = CountZerosAtEnd(bytes);
  if (zeros < kEndBytes) {
    return error(
        "no end record of a zip archive found; the file is truncated, or more "
        "than 64 KiB follow its end");
  }
  // The record itself may end with zeros.
  const auto before = FindEnd(bytes.first(bytes.size() - zeros + kEndBytes));
  if (before.has_value()) return *before;
  return error(
      "no end record of a zip archive found; the file ends with zeros, its "
      "download may not have finished");
}

absl::Status SeveralVolumes(const FileError& error) {
  return error("expected a zip archive of one volume, got several");
}

// The position of the ZIP64 end record according to the locator before `end`;
// empty if there is no locator.
absl::StatusOr<std::optional<uint64_t>> FindEnd64(
    absl::Span<const std::byte> bytes, const End& end, const FileError& error) {
  if (end.at < kLocator64Bytes) return std::nullopt;
  const uint64_t locator_at = end.at - kLocator64Bytes;
  uint32_t signature, disk, num_disks;
  uint64_t at;
  ByteReader locator(bytes.subspan(locator_at, kLocator64Bytes));
  if (!locator.Read(&signature, &disk, &at, &num_disks) ||
      signature != kLocator64Signature) {
    return std::nullopt;
  }
  if (disk != 0 || num_disks > 1) return SeveralVolumes(error);
  if (at > locator_at) {
    return error("ZIP64 end record at byte ", at,
                 ", expected before its locator at byte ", locator_at);
  }
  return at;
}

bool IsConsistent(uint64_t field, uint64_t in_zip64, uint64_t value) {
  return field == in_zip64 || field == value;
}

// Reads the ZIP64 end record at byte `at`. InvalidArgument if it contradicts
// the fields of `end` that have a value.
absl::StatusOr<ZipDirectory> ReadEnd64(absl::Span<const std::byte> bytes,
                                       uint64_t at, const End& end,
                                       const FileError& error) {
  uint64_t record_size, entries_here;
  uint16_t made_by, needs;
  uint32_t signature, disk, directory_disk;
  ZipDirectory directory;
  ByteReader record(bytes.subspan(at, end.at - at));
  if (!record.Read(&signature, &record_size, &made_by, &needs, &disk,
                   &directory_disk, &entries_here, &directory.num_entries,
                   &directory.size, &directory.offset) ||
      signature != kEnd64Signature) {
    return error("no ZIP64 end record at byte ", at,
                 ", where its locator points to");
  }
  if (disk != 0 || directory_disk != 0 ||
      entries_here != directory.num_entries) {
    return SeveralVolumes(error);
  }
  if (!IsConsistent(end.entries, kInZip64Short, directory.num_entries) ||
      !IsConsistent(end.size, kInZip64, directory.size) ||
      !IsConsistent(end.offset, kInZip64, directory.offset)) {
    return error("the two end records of the zip archive disagree");
  }
  return directory;
}

// Checks the size of the directory. `limit` is the position of the end record.
absl::Status CheckFits(const ZipDirectory& directory, uint64_t limit,
                       const FileError& error) {
  if (directory.offset > limit || directory.size > limit - directory.offset) {
    return error("zip directory of ", directory.size, " bytes at byte ",
                 directory.offset, " extends past byte ", limit,
                 ", where its end record begins");
  }
  if (directory.num_entries > directory.size / kEntryBytes) {
    return error("zip directory: ", directory.num_entries,
                 " entries do not fit into its ", directory.size, " bytes");
  }
  if (directory.num_entries > kMaxEntries) {
    return error("zip directory has ", directory.num_entries,
                 " entries, the limit is ", kMaxEntries);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ZipDirectory> FindZipDirectory(absl::Span<const std::byte> bytes,
                                              const FileError& error) {
  RWKVD_ASSIGN_OR_RETURN(const End end, FindEndBeforeZeros(bytes, error));
  ZipDirectory directory = {
      .offset = end.offset, .size = end.size, .num_entries = end.entries};
  RWKVD_ASSIGN_OR_RETURN(const std::optional<uint64_t> end64,
                         FindEnd64(bytes, end, error));
  if (end64.has_value()) {
    RWKVD_ASSIGN_OR_RETURN(directory, ReadEnd64(bytes, *end64, end, error));
  } else if (end.disk != 0 || end.directory_disk != 0 ||
             end.entries_here != end.entries) {
    return SeveralVolumes(error);
  }
  RWKVD_RETURN_IF_ERROR(CheckFits(directory, end64.value_or(end.at), error));
  return directory;
}

}  // namespace rwkvd
