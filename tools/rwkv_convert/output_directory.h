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

// The folder that a checkpoint is written to, such that at any moment, however
// the program ends, it holds the old checkpoint (or none) or the whole new one.
//
// Files are written as drafts, into a folder of their own inside it, and
// renamed only when all are complete. Shards get names that nothing there has,
// so that an old checkpoint stays whole until the new index takes the place of
// the old one. What a killed run left behind is removed by the next; two at
// once are refused, as far as the file system knows locks.
//
// Owned and used by one thread.
class OutputDirectory {
 public:
  // Makes the folder if need be, and the one for drafts in it. AlreadyExists
  // if it holds a checkpoint, unless that is to be replaced; Unavailable if
  // another process is writing to it; InvalidArgument if a config.json in it
  // cannot be read, since the result could not be, either; otherwise what the
  // operating system reports.
  static absl::StatusOr<std::unique_ptr<OutputDirectory>> Prepare(
      const std::string& path, bool replace);

  // Removes the drafts, and the folder if it was made for them, unless they
  // have been committed.
  ~OutputDirectory();
  OutputDirectory(const OutputDirectory&) = delete;
  OutputDirectory& operator=(const OutputDirectory&) = delete;

  // Where to write files, under their final names.
  const std::string& drafts() const { return drafts_; }

  // What to call the files of a checkpoint of so many shards.
  absl::StatusOr<std::vector<std::string>> FreeShardNames(size_t num) const;

  // Gives these drafts their final names, in this order; the index, or the only
  // file of weights, comes last. Then removes files of weights that are none of
  // these, as far as they are called as those of this program.
  absl::Status Commit(absl::Span<const std::string> names);

 private:
  explicit OutputDirectory(const std::string& path);

  absl::Status Lock();
  absl::Status CheckExisting(bool replace) const;
  absl::Status RemoveLeftovers() const;
  absl::Status MakeDrafts();
  absl::Status Rename(const std::string& name) const;
  absl::Status RemoveOthers(absl::Span<const std::string> kept) const;
  absl::Status Sync() const;
  std::string PathOf(absl::string_view name) const;

  const std::string path_;
  const std::string drafts_;
  bool made_ = false;        // the folder was not there before
  bool has_drafts_ = false;  // and they are ours
  int fd_ = -1;              // of the folder; holds the lock
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_OUTPUT_DIRECTORY_H_
