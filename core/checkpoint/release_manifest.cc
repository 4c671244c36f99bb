// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/release_manifest.h"

#include <algorithm>
#include <cstddef>
#include <filesystem>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "core/base/file_error.h"
#include "core/base/json.h"
#include "core/base/mapped_file.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

constexpr JsonLimits kLimits = {.max_bytes = 16 << 20, .max_depth = 32};
constexpr size_t kDigits = 64;  // of a SHA-256 digest

absl::StatusOr<std::string> ReadDigest(const Json& entry,
                                       const FileError& error) {
  const auto field = entry.find("sha256");
  if (field == entry.end() || !field->is_string()) {
    return error("expected a string \"sha256\"");
  }
  const auto& digest = field->get_ref<const std::string&>();
  if (digest.size() != kDigits ||
      !std::all_of(digest.begin(), digest.end(), absl::ascii_isxdigit)) {
    return error("\"sha256\": expected 64 hexadecimal digits, got ",
                 Quoted(digest));
  }
  return absl::AsciiStrToLower(digest);
}

absl::StatusOr<ReleasedFile> ReadFile(const Json& entry,
                                      const FileError& error) {
  if (!entry.is_object()) return error("expected an object");
  ReleasedFile file;
  RWKVD_ASSIGN_OR_RETURN(file.sha256, ReadDigest(entry, error));
  const auto size = entry.find("size_bytes");
  if (size == entry.end()) return file;
  if (!size->is_number_unsigned() ||
      size->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    return error("\"size_bytes\": expected a whole number");
  }
  file.num_bytes = size->get<int64_t>();
  return file;
}

}  // namespace

absl::StatusOr<ReleaseManifest> ParseReleaseManifest(absl::string_view text,
                                                     absl::string_view path) {
  const FileError error(path);
  RWKVD_ASSIGN_OR_RETURN(const Json json, ParseJson(text, path, kLimits));
  const auto files = json.is_object() ? json.find("files") : json.end();
  if (files == json.end() || !files->is_object()) {
    return error("expected an object \"files\"");
  }
  ReleaseManifest manifest;
  for (const auto& [name, entry] : files->items()) {
    RWKVD_ASSIGN_OR_RETURN(manifest[name],
                           ReadFile(entry, error.In("file", name)));
  }
  return manifest;
}

absl::StatusOr<std::optional<ReleaseManifest>> FindReleaseManifest(
    const std::string& directory) {
  const std::string path =
      (std::filesystem::path(directory) / std::string(kReleaseManifest))
          .string();
  const auto file = MappedFile::Open(path);
  if (absl::IsNotFound(file.status())) return std::nullopt;
  RWKVD_RETURN_IF_ERROR(file.status());
  const absl::Span<const std::byte> bytes = (*file)->bytes();
  RWKVD_ASSIGN_OR_RETURN(
      ReleaseManifest manifest,
      ParseReleaseManifest(
          {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path));
  return manifest;
}

}  // namespace rwkvd
