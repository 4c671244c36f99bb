// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/legacy_pth.h"

#include <algorithm>
#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/file_error.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/byte_reader.h"
#include "core/checkpoint/state_dict.h"
#include "core/checkpoint/unpickler.h"

namespace rwkvd {
namespace {

using Kind = PickleObject::Kind;

// The number 0x1950a86a20f9469cfc6c in the byte order of a pickle.
constexpr absl::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr int64_t kProtocol = 1001;
// The magic number lies within this many bytes, whatever its pickle's protocol.
constexpr size_t kMagicPickleBytes = 32;

absl::string_view Text(absl::Span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Reads the pickle at the front of `rest` and removes it from there.
absl::StatusOr<Pickle> ReadNextPickle(absl::Span<const std::byte>& rest,
                                      absl::string_view where,
                                      absl::string_view what) {
  auto pickle = ReadPickle(rest, absl::StrCat(where, ": ", what));
  if (pickle.ok()) rest.remove_prefix(pickle->num_bytes());
  return pickle;
}

absl::Status ReadMagic(absl::Span<const std::byte>& rest,
                       const FileError& error) {
  RWKVD_ASSIGN_OR_RETURN(const Pickle magic,
                         ReadNextPickle(rest, error.file(), "magic number"));
  if (magic.root().kind != Kind::kBigInt || magic.root().text != kMagic) {
    return error("expected the magic number of torch.save");
  }
  return absl::OkStatus();
}

absl::Status ReadProtocol(absl::Span<const std::byte>& rest,
                          const FileError& error) {
  RWKVD_ASSIGN_OR_RETURN(
      const Pickle protocol,
      ReadNextPickle(rest, error.file(), "protocol version"));
  if (protocol.root().kind != Kind::kInt) {
    return error("protocol version: expected a number");
  }
  if (protocol.root().integer != kProtocol) {
    return error("expected protocol version ", kProtocol, ", got ",
                 protocol.root().integer);
  }
  return absl::OkStatus();
}

// Checks the properties of the machine that wrote the file.
absl::Status ReadSystem(absl::Span<const std::byte>& rest,
                        const FileError& error) {
  RWKVD_ASSIGN_OR_RETURN(
      const Pickle system,
      ReadNextPickle(rest, error.file(), "system information"));
  const PickleObject* const little = system.root().Find("little_endian");
  if (little == nullptr || little->kind != Kind::kBool) {
    return error("system information: expected a bool \"little_endian\"");
  }
  if (little->integer == 0) {
    return error("written on a big-endian machine, which is not supported");
  }
  return absl::OkStatus();
}

// The size of an element of each storage in bytes, by the storage's key.
absl::StatusOr<absl::flat_hash_map<absl::string_view, size_t>> ElementSizes(
    const Pickle& object, absl::string_view where) {
  absl::flat_hash_map<absl::string_view, size_t> sizes;
  for (const PickleObject& storage : object.objects()) {
    if (storage.kind != Kind::kStorage) continue;
    RWKVD_ASSIGN_OR_RETURN(const StorageId id, ReadStorageId(storage, where));
    sizes.emplace(id.key, id.element_bytes);
  }
  return sizes;
}

// Reads the storages that `keys` list. They must fill the file to its end.
absl::StatusOr<StorageMap> ReadStorages(absl::Span<const std::byte> rest,
                                        const Pickle& object,
                                        const PickleObject& keys,
                                        const FileError& error) {
  if (keys.kind != Kind::kList) return error("storage keys: expected a list");
  RWKVD_ASSIGN_OR_RETURN(const auto sizes, ElementSizes(object, error.file()));
  StorageMap storages;
  ByteReader reader(rest);
  for (const PickleObject* key : keys.items) {
    const FileError storage_error = error.In("storage", key->text);
    const auto size =
        key->kind == Kind::kString ? sizes.find(key->text) : sizes.end();
    if (size == sizes.end()) {
      return storage_error("no tensor in the file refers to it");
    }
    uint64_t elements, num_bytes;
    absl::Span<const std::byte> bytes;
    if (!reader.Read(&elements)) {
      return storage_error("is missing; the file may be truncated");
    }
    if (__builtin_mul_overflow(elements, size->second, &num_bytes) ||
        !reader.ReadBytes(num_bytes, &bytes)) {
      return storage_error("expected ", elements, " elements of ", size->second,
                           " bytes, got ", reader.remaining(),
                           " bytes before the end of the file; the file may be "
                           "truncated");
    }
    if (!storages.emplace(key->text, bytes).second) {
      return storage_error("is listed twice");
    }
  }
  if (reader.remaining() != 0) {
    return error(reader.remaining(),
                 " unexpected bytes after the last storage; remove them, or "
                 "download the file again");
  }
  return storages;
}

}  // namespace

bool IsLegacyPth(absl::Span<const std::byte> bytes) {
  if (bytes.empty() || bytes[0] != std::byte{0x80}) return false;
  return Text(bytes.first(std::min(bytes.size(), kMagicPickleBytes)))
             .find(kMagic) != absl::string_view::npos;
}

absl::StatusOr<std::vector<Tensor>> ParseLegacyPth(
    absl::Span<const std::byte> bytes, absl::string_view where) {
  const FileError error(where);
  absl::Span<const std::byte> rest = bytes;
  RWKVD_RETURN_IF_ERROR(ReadMagic(rest, error));
  RWKVD_RETURN_IF_ERROR(ReadProtocol(rest, error));
  RWKVD_RETURN_IF_ERROR(ReadSystem(rest, error));
  RWKVD_ASSIGN_OR_RETURN(const Pickle object,
                         ReadNextPickle(rest, where, "object"));
  RWKVD_ASSIGN_OR_RETURN(const Pickle keys,
                         ReadNextPickle(rest, where, "storage keys"));
  RWKVD_ASSIGN_OR_RETURN(const StorageMap storages,
                         ReadStorages(rest, object, keys.root(), error));
  return ReadStateDict(object.root(), storages, where);
}

}  // namespace rwkvd
