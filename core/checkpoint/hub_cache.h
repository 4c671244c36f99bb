// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_HUB_CACHE_H_
#define RWKVD_CORE_CHECKPOINT_HUB_CACHE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace rwkvd {

// The directory with the files for `directory`: `directory` itself, unless it
// is a repository's directory in the cache of the Hugging Face hub, which holds
// its files in snapshots/REVISION, or the directory of its snapshots. Then the
// snapshot that refs/main names, or the only one. Returns InvalidArgument with
// the snapshots if there are several and none is named, NotFound if there is
// none.
absl::StatusOr<std::string> FindSnapshot(const std::string& directory);

// The paths of the models in `directory`, sorted, if it is the cache of the
// Hugging Face hub, which has a directory models--OWNER--NAME for each, or the
// folder above, which calls it "hub"; none otherwise.
std::vector<std::string> ModelsInHubCache(const std::string& directory);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_HUB_CACHE_H_
