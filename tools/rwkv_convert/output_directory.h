// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_OUTPUT_DIRECTORY_H_
#define RWKVD_TOOLS_RWKV_CONVERT_OUTPUT_DIRECTORY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd {

// The name and the text of a config.json that says that the LayerNorm after the
// embedding has been applied to the stored embedding. Native names cannot say
// it.
inline constexpr char kConfigFile[] = "config.json";
inline constexpr char kFusedNormConfig[] =
    "{\"embedding_layer_norm_fused\": true}\n";

// The folder that a checkpoint is written to. At any moment, however the
// program ends, the folder holds either the old checkpoint (or none) or the
// complete new one.
//
// Files are written as drafts to a subfolder and renamed only when all of them
// are complete. Shards get names that are not in use, so that an old checkpoint
// stays complete until the new index replaces the old one. The next run removes
// what a killed run left behind. Two runs at the same time are refused if the
// file system supports locks.
//
// Owned and used by one thread.
class OutputDirectory {
 public:
  // Creates the folder, if it does not exist, and its subfolder for drafts.
  // AlreadyExists if it holds a checkpoint and `replace` is false. Unavailable
  // if another process is writing to it. InvalidArgument if its config.json
  // cannot be read, because then the result could not be read, either, or if it
  // says something else of the LayerNorm after the embedding: `fused_norm` is
  // whether the result comes with the kFusedNormConfig. Otherwise the errors of
  // the operating system.
  static absl::StatusOr<std::unique_ptr<OutputDirectory>> Prepare(
      const std::string& path, bool replace, bool fused_norm = false);

  // Unless the drafts have been committed, removes them, and the folder if
  // Prepare created it.
  ~OutputDirectory();
  OutputDirectory(const OutputDirectory&) = delete;
  OutputDirectory& operator=(const OutputDirectory&) = delete;

  // The subfolder to write files to, under their final names.
  const std::string& drafts() const { return drafts_; }

  // Returns unused names for the files of a checkpoint of `num` shards.
  absl::StatusOr<std::vector<std::string>> FreeShardNames(size_t num) const;

  // Moves these drafts to the folder, in this order; the index, or the only
  // file of weights, comes last. Then removes all other files that have names
  // of this program's outputs.
  absl::Status Commit(absl::Span<const std::string> names);

 private:
  explicit OutputDirectory(const std::string& path);

  absl::Status Lock();
  // Refuses a config.json that would not fit the result, and a folder whose
  // checkpoint would not fit the result's config.json.
  absl::Status CheckConfig(bool fused_norm) const;
  absl::Status CheckExisting(bool replace) const;
  absl::Status RemoveLeftovers() const;
  absl::Status MakeDrafts();
  absl::Status Rename(const std::string& name) const;
  absl::Status RemoveOthers(absl::Span<const std::string> kept) const;
  absl::Status Sync() const;
  std::string PathOf(absl::string_view name) const;

  const std::string path_;
  const std::string drafts_;
  bool made_ = false;        // whether Prepare created the folder
  bool has_drafts_ = false;  // whether this object created the subfolder
  int fd_ = -1;              // the folder; holds the lock
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_OUTPUT_DIRECTORY_H_
