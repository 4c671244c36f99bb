// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/pth.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/file_error.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/legacy_pth.h"
#include "core/checkpoint/state_dict.h"
#include "core/checkpoint/unpickler.h"
#include "core/checkpoint/zip_reader.h"

namespace rwkvd {
namespace {

constexpr absl::string_view kZipMagic = "PK\x03\x04";
constexpr absl::string_view kPickleName = "/data.pkl";

absl::string_view AsText(absl::Span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The only entry ROOT/data.pkl.
absl::StatusOr<ZipEntry> FindPickle(absl::Span<const ZipEntry> entries,
                                    const FileError& error) {
  const ZipEntry* found = nullptr;
  for (const ZipEntry& entry : entries) {
    if (!absl::EndsWith(entry.name, kPickleName)) continue;
    if (found != nullptr) {
      return error("expected one entry ROOT/data.pkl, found ",
                   Quoted(found->name), " and ", Quoted(entry.name));
    }
    found = &entry;
  }
  if (found == nullptr) {
    return error(
        "expected an entry ROOT/data.pkl in the zip archive, found none; "
        "torch.save did not write this file");
  }
  return *found;
}

absl::StatusOr<std::vector<Tensor>> ParseZipPth(
    absl::Span<const std::byte> bytes, absl::string_view where) {
  const FileError error(where);
  RWKVD_ASSIGN_OR_RETURN(const std::vector<ZipEntry> entries,
                         ReadZip(bytes, where));
  RWKVD_ASSIGN_OR_RETURN(const ZipEntry pickled, FindPickle(entries, error));
  const absl::string_view root = absl::StripSuffix(pickled.name, kPickleName);
  StorageMap storages;
  for (const ZipEntry& entry : entries) {
    absl::string_view name = entry.name;
    if (!absl::ConsumePrefix(&name, root)) continue;
    if (absl::ConsumePrefix(&name, "/data/")) {
      storages.emplace(name, entry.data);
    } else if (name == "/byteorder" && AsText(entry.data) != "little") {
      return error("expected byteorder \"little\", got ",
                   Quoted(AsText(entry.data)));
    }
  }
  RWKVD_ASSIGN_OR_RETURN(
      const Pickle pickle,
      ReadPickle(pickled.data, absl::StrCat(where, ": data.pkl")));
  return ReadStateDict(pickle.root(), storages, where);
}

}  // namespace

bool IsPth(absl::Span<const std::byte> bytes) {
  return absl::StartsWith(AsText(bytes), kZipMagic) || IsLegacyPth(bytes);
}

absl::StatusOr<std::vector<Tensor>> ParsePth(const MappedFile& file) {
  return IsLegacyPth(file.bytes()) ? ParseLegacyPth(file.bytes(), file.path())
                                   : ParseZipPth(file.bytes(), file.path());
}

}  // namespace rwkvd
