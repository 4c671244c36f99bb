// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/checkpoint_path.h"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/file_error.h"
#include "core/base/mapped_file.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/file_format.h"
#include "core/checkpoint/hub_cache.h"
#include "core/checkpoint/pth.h"
#include "core/checkpoint/shard_set.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxListedFiles = 10;  // file names in a message
constexpr absl::string_view kGgufSuffix = ".gguf";

// The names that transformers gives to a file with all weights. The index of
// shards, if there are any, has the same name with kIndexSuffix.
constexpr absl::string_view kWellKnownNames[] = {"model.safetensors",
                                                 "pytorch_model.bin"};

// A kind of file, recognized by the end of its name.
struct PathKind {
  std::vector<absl::string_view> suffixes;
  // Whether other programs use these suffixes too, so that the content decides.
  bool check_content;
};

// All kinds, in order of preference.
const std::vector<PathKind>& PathKinds() {
  static const auto* const kinds = new std::vector<PathKind>{
      {{kIndexSuffix}, false}, {{".safetensors", ".st"}, false},
      {{".pth"}, false},       {{".bin", ".pt"}, true},
      {{kGgufSuffix}, false},
  };
  return *kinds;
}

// Ends of the names that programs give to downloads until they are complete.
constexpr absl::string_view kUnfinishedSuffixes[] = {
    ".incomplete", ".part", ".partial", ".crdownload", ".download", ".aria2"};

bool EndsWithAny(absl::string_view name,
                 absl::Span<const absl::string_view> suffixes) {
  return std::any_of(
      suffixes.begin(), suffixes.end(),
      [&](absl::string_view end) { return absl::EndsWith(name, end); });
}

std::string PathIn(const std::string& directory, const std::string& name) {
  return (fs::path(directory) / name).string();
}

// The names of the files in `directory`, sorted, without hidden ones: these are
// metadata, such as the ._* files of macOS.
absl::StatusOr<std::vector<std::string>> FileNames(
    const std::string& directory) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code ignored;  // opening the file later reports it
    std::string name = it->path().filename().string();
    if (it->is_directory(ignored) || absl::StartsWith(name, ".")) continue;
    names.push_back(std::move(name));
  }
  if (error) {
    return absl::ErrnoToStatus(error.value(),
                               absl::StrCat("cannot list ", directory));
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool IsWrittenByTorch(const std::string& path) {
  const auto file = MappedFile::Open(path);
  return file.ok() && IsPth((*file)->bytes());
}

// The names of the files that are of the given kind.
std::vector<std::string> NamesOfKind(const std::string& directory,
                                     const std::vector<std::string>& names,
                                     const PathKind& kind) {
  std::vector<std::string> found;
  for (const std::string& name : names) {
    if (EndsWithAny(name, kind.suffixes) &&
        (!kind.check_content || IsWrittenByTorch(PathIn(directory, name)))) {
      found.push_back(name);
    }
  }
  return found;
}

absl::Status Ambiguous(const std::string& directory,
                       absl::Span<const ShardSet> found) {
  std::vector<std::string> listed;
  for (const ShardSet& set :
       found.first(std::min(found.size(), kMaxListedFiles))) {
    listed.push_back(PathIn(directory, set.Description()));
  }
  return FileError(directory)(
      "expected one checkpoint, found ", found.size(),
      "; name one of them: ", absl::StrJoin(listed, ", "),
      listed.size() < found.size() ? ", ..." : "");
}

absl::StatusOr<CheckpointPath> ChooseSet(const std::string& directory,
                                         const ShardSet& set) {
  if (!set.is_complete()) {
    return FileError(directory)("expected ", set.count, " shards ",
                                set.Description(), ", found ", set.names.size(),
                                "; missing: ", set.Missing());
  }
  CheckpointPath chosen;
  chosen.path = PathIn(directory, set.names.begin()->second);
  // A single file opens alone, and the first part of a split GGUF file names
  // the others.
  if (set.count == 1 || absl::EndsWith(chosen.path, kGgufSuffix)) return chosen;
  chosen.path = directory;
  for (const auto& [number, name] : set.names) {
    chosen.shards.push_back(PathIn(directory, name));
  }
  return chosen;
}

absl::Status NoCheckpoint(const std::string& directory,
                          const std::vector<std::string>& names) {
  std::vector<std::string> models = ModelsInHubCache(directory);
  if (!models.empty()) {
    const size_t found = models.size();
    models.resize(std::min(found, kMaxListedFiles));
    return absl::NotFoundError(absl::StrCat(
        directory,
        ": is the cache of the Hugging Face hub; name one of its models: ",
        absl::StrJoin(models, ", "), models.size() < found ? ", ..." : ""));
  }
  std::string hint;
  for (const std::string& name : names) {
    if (!EndsWithAny(name, kUnfinishedSuffixes)) continue;
    hint = absl::StrCat("; ", Quoted(name), " is an unfinished download");
  }
  return absl::NotFoundError(absl::StrCat(
      directory,
      ": no checkpoint found: expected a *.safetensors, *.st, *.index.json, "
      "*.pth or *.gguf file, or a *.bin or *.pt file written by torch.save",
      hint));
}

// Whether a file is one of several shards with the given extension.
bool HaveShards(const std::vector<std::string>& names,
                const std::string& extension) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    const std::optional<ShardName> shard = ParseShardName(name);
    return shard.has_value() && shard->extension == extension;
  });
}

// The checkpoint with one of kWellKnownNames. Its path is empty if there is
// none.
absl::StatusOr<CheckpointPath> ChooseWellKnown(
    const std::string& directory, const std::vector<std::string>& names) {
  for (absl::string_view name : kWellKnownNames) {
    const std::string file(name);
    const std::string index = absl::StrCat(name, kIndexSuffix);
    const bool has_file = std::binary_search(names.begin(), names.end(), file);
    const bool has_index =
        std::binary_search(names.begin(), names.end(), index);
    // Without shards, the index is a leftover, or names the file.
    if (has_file && has_index &&
        HaveShards(names, fs::path(file).extension().string())) {
      return Ambiguous(directory, GroupShards({file, index}));
    }
    if (has_file) return CheckpointPath{PathIn(directory, file), {}};
    if (has_index) return CheckpointPath{PathIn(directory, index), {}};
  }
  return CheckpointPath{};
}

absl::StatusOr<CheckpointPath> ChooseIn(const std::string& directory) {
  RWKVD_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                         FileNames(directory));
  RWKVD_ASSIGN_OR_RETURN(CheckpointPath well_known,
                         ChooseWellKnown(directory, names));
  if (!well_known.path.empty()) return well_known;
  for (const PathKind& kind : PathKinds()) {
    const auto sets = GroupShards(NamesOfKind(directory, names, kind));
    if (sets.size() == 1) return ChooseSet(directory, sets[0]);
    if (sets.size() > 1) return Ambiguous(directory, sets);
  }
  return NoCheckpoint(directory, names);
}

// Refuses a file that is only one of several shards.
absl::Status CheckIsWhole(const std::string& path) {
  const std::string name = fs::path(path).filename().string();
  const std::optional<ShardName> shard = ParseShardName(name);
  if (!shard.has_value() || absl::EndsWith(name, kGgufSuffix)) {
    return absl::OkStatus();
  }
  return FileError(path)("is shard ", shard->number, " of ", shard->count,
                         "; name the index of the shards, or their directory");
}

// Refuses a file whose download has not finished.
absl::Status CheckIsFinished(const std::string& path) {
  std::error_code ignored;  // opening the file reports it
  if (fs::is_symlink(path, ignored) && !fs::exists(path, ignored)) {
    return absl::NotFoundError(absl::StrCat(
        path,
        ": is a link to a missing file; the download may not have finished"));
  }
  const std::string control = path + ".aria2";
  if (!fs::exists(control, ignored)) return absl::OkStatus();
  return FileError(path)("its download has not finished: ", control, " exists");
}

}  // namespace

absl::StatusOr<CheckpointPath> ChooseCheckpoint(const std::string& path) {
  CheckpointPath chosen = {path, {}};
  std::error_code ignored;  // opening the file later reports it
  if (fs::is_directory(path, ignored)) {
    RWKVD_ASSIGN_OR_RETURN(const std::string directory, FindSnapshot(path));
    RWKVD_ASSIGN_OR_RETURN(chosen, ChooseIn(directory));
  } else if (fs::exists(path, ignored)) {
    RWKVD_RETURN_IF_ERROR(CheckIsWhole(path));
  }
  RWKVD_RETURN_IF_ERROR(CheckIsFinished(chosen.path));
  for (const std::string& shard : chosen.shards) {
    RWKVD_RETURN_IF_ERROR(CheckIsFinished(shard));
  }
  return chosen;
}

}  // namespace rwkvd
