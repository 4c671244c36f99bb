// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/output_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "absl/container/flat_hash_set.h"
#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "core/base/mapped_file.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/checkpoint_path.h"
#include "core/checkpoint/hub_config.h"
#include "core/checkpoint/shard_index.h"
#include "tools/rwkv_convert/shard_plan.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

constexpr char kDrafts[] = "rwkv-convert.tmp";

absl::Status SystemError(absl::string_view doing, absl::string_view path) {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot ", doing, " ", path));
}

absl::Status SystemError(const std::error_code& error, absl::string_view doing,
                         absl::string_view path) {
  return absl::ErrnoToStatus(error.value(),
                             absl::StrCat("cannot ", doing, " ", path));
}

bool Exists(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

// The shards that the index in `directory` names; none if there is no valid
// index.
absl::flat_hash_set<std::string> ShardsOf(const std::string& directory) {
  absl::flat_hash_set<std::string> shards;
  const auto file = MappedFile::Open(absl::StrCat(directory, "/", kIndexFile));
  if (!file.ok()) return shards;
  const auto index = ParseShardIndex(**file);
  if (!index.ok()) return shards;
  for (const auto& [tensor, shard] : *index) shards.insert(shard);
  return shards;
}

absl::Status Remove(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return SystemError("remove", path);
}

}  // namespace

OutputDirectory::OutputDirectory(const std::string& path)
    : path_(path), drafts_(PathOf(kDrafts)) {}

std::string OutputDirectory::PathOf(absl::string_view name) const {
  return (fs::path(path_) / std::string(name)).string();
}

absl::StatusOr<std::unique_ptr<OutputDirectory>> OutputDirectory::Prepare(
    const std::string& path, bool replace, bool fused_norm) {
  auto directory = absl::WrapUnique(new OutputDirectory(path));
  std::error_code error;
  directory->made_ = fs::create_directories(path, error);
  if (error) return SystemError(error, "create the folder", path);
  RWKVD_RETURN_IF_ERROR(directory->Lock());
  RWKVD_RETURN_IF_ERROR(directory->RemoveLeftovers());
  RWKVD_RETURN_IF_ERROR(directory->CheckConfig(fused_norm));
  RWKVD_RETURN_IF_ERROR(directory->CheckExisting(replace));
  RWKVD_RETURN_IF_ERROR(directory->MakeDrafts());
  return directory;
}

OutputDirectory::~OutputDirectory() {
  std::error_code ignored;  // a destructor cannot report it
  if (has_drafts_) fs::remove_all(drafts_, ignored);
  if (made_) fs::remove(path_, ignored);  // only if empty
  if (fd_ >= 0) close(fd_);
}

absl::Status OutputDirectory::Lock() {
  fd_ = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd_ < 0) return SystemError("open the folder", path_);
  if (flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return absl::UnavailableError(
        absl::StrCat(path_, ": another rwkv-convert is writing to it"));
  }
  return absl::OkStatus();
}

absl::Status OutputDirectory::CheckConfig(bool fused_norm) const {
  const absl::StatusOr<HubConfig> config = FindHubConfig(path_);
  if (!config.ok()) {
    return absl::Status(
        config.status().code(),
        absl::StrCat(
            config.status().message(),
            "; fix or remove this file, it would apply to the result"));
  }
  const bool is_fused = config->embedding_norm_is_fused.value_or(false);
  if ((is_fused && !fused_norm) || !config->quant_method.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_,
                     "/config.json describes another model; remove it, "
                     "it would apply to the result"));
  }
  if (is_fused || !fused_norm) return absl::OkStatus();
  // Until its new weights are there, the folder would have the new config.json
  // with the weights of another model.
  if (!Exists(PathOf(kConfigFile)) &&
      absl::IsNotFound(ChooseCheckpoint(path_).status())) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      path_,
      ": holds another model, and the result needs a config.json of its own; "
      "choose another folder"));
}

absl::Status OutputDirectory::CheckExisting(bool replace) const {
  if (replace) return absl::OkStatus();
  const absl::StatusOr<CheckpointPath> chosen = ChooseCheckpoint(path_);
  if (absl::IsNotFound(chosen.status())) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat(path_, ": already holds a checkpoint",
                   chosen.ok() ? absl::StrCat(", ", chosen->path) : "",
                   "; --force replaces the files model*.safetensors"));
}

absl::Status OutputDirectory::RemoveLeftovers() const {
  if (!Exists(drafts_)) return absl::OkStatus();
  // A run that was killed while it renamed its drafts has left the index.
  const absl::flat_hash_set<std::string> used = ShardsOf(path_);
  for (const std::string& shard : ShardsOf(drafts_)) {
    if (IsOutputName(shard) && !used.contains(shard)) {
      RWKVD_RETURN_IF_ERROR(Remove(PathOf(shard)));
    }
  }
  std::error_code error;
  fs::remove_all(drafts_, error);
  return error ? SystemError(error, "remove", drafts_) : absl::OkStatus();
}

absl::Status OutputDirectory::MakeDrafts() {
  if (mkdir(drafts_.c_str(), 0777) != 0) {
    return SystemError("create the folder", drafts_);
  }
  has_drafts_ = true;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> OutputDirectory::FreeShardNames(
    size_t num) const {
  std::string stem = "model";
  for (char letter = 'b'; letter <= 'z'; ++letter) {
    std::vector<std::string> names = ShardNames(stem, num);
    // A single file replaces another one atomically.
    if (num == 1 ||
        std::none_of(names.begin(), names.end(), [&](const std::string& name) {
          return Exists(PathOf(name));
        })) {
      return names;
    }
    stem = absl::StrCat("model-", absl::string_view(&letter, 1));
  }
  return absl::AlreadyExistsError(absl::StrCat(
      path_,
      ": too many checkpoints; remove some of the files model-*.safetensors"));
}

absl::Status OutputDirectory::Sync() const {
  return fsync(fd_) == 0 ? absl::OkStatus() : SystemError("write", path_);
}

absl::Status OutputDirectory::Rename(const std::string& name) const {
  const std::string draft = absl::StrCat(drafts_, "/", name);
  if (std::rename(draft.c_str(), PathOf(name).c_str()) != 0) {
    return SystemError("write", PathOf(name));
  }
  return absl::OkStatus();
}

absl::Status OutputDirectory::RemoveOthers(
    absl::Span<const std::string> kept) const {
  std::error_code error;
  std::vector<std::string> others;
  for (fs::directory_iterator at(path_, error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (IsOutputName(name) &&
        std::find(kept.begin(), kept.end(), name) == kept.end()) {
      others.push_back(name);
    }
  }
  if (error) return SystemError(error, "list", path_);
  // The index comes first: without it nothing refers to its shards.
  std::sort(others.begin(), others.end(), [](const auto& a, const auto& b) {
    return (a == kIndexFile) > (b == kIndexFile);
  });
  for (const std::string& name : others) {
    RWKVD_RETURN_IF_ERROR(Remove(PathOf(name)));
    if (name == kIndexFile) RWKVD_RETURN_IF_ERROR(Sync());
  }
  return absl::OkStatus();
}

absl::Status OutputDirectory::Commit(absl::Span<const std::string> names) {
  for (const std::string& name : names) {
    // The shards are on disk before the index refers to them.
    if (name == names.back()) RWKVD_RETURN_IF_ERROR(Sync());
    RWKVD_RETURN_IF_ERROR(Rename(name));
    made_ = false;
  }
  RWKVD_RETURN_IF_ERROR(Sync());
  RWKVD_RETURN_IF_ERROR(RemoveOthers(names));
  has_drafts_ = false;
  if (rmdir(drafts_.c_str()) != 0) return SystemError("remove", drafts_);
  return Sync();
}

}  // namespace rwkvd
