// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_RELEASE_MANIFEST_H_
#define RWKVD_CORE_CHECKPOINT_RELEASE_MANIFEST_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

inline constexpr absl::string_view kReleaseManifest = "release-manifest.json";

// What a release says about one of its files. A value.
struct ReleasedFile {
  std::string sha256;                // 64 lowercase hexadecimal digits
  std::optional<int64_t> num_bytes;  // if it says so
};

// The files of a release by their names, which may be any strings.
using ReleaseManifest = absl::btree_map<std::string, ReleasedFile>;

// Parses a release-manifest.json, {"files": {NAME: {"sha256": ...,
// "size_bytes": ...}}}. Ignores everything else. Returns InvalidArgument, with
// `path`, if it is malformed.
absl::StatusOr<ReleaseManifest> ParseReleaseManifest(absl::string_view text,
                                                     absl::string_view path);

// Reads the manifest in `directory`; nothing if there is none.
absl::StatusOr<std::optional<ReleaseManifest>> FindReleaseManifest(
    const std::string& directory);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_RELEASE_MANIFEST_H_
