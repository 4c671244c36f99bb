// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/tensor_file.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/safetensors.h"
#include "core/checkpoint/shard_index.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

constexpr absl::string_view kIndexSuffix = ".index.json";
constexpr absl::string_view kFileSuffix = ".safetensors";
constexpr size_t kFingerprintSample = 4096;  // bytes from either end

// Paths of the directory's files that end in `suffix`, sorted.
absl::StatusOr<std::vector<std::string>> FilesEndingIn(
    const std::string& directory, absl::string_view suffix) {
  std::error_code error;
  std::vector<std::string> found;
  for (fs::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    if (absl::EndsWith(it->path().filename().string(), suffix)) {
      found.push_back(it->path().string());
    }
  }
  if (error) {
    return absl::ErrnoToStatus(error.value(),
                               absl::StrCat("cannot list ", directory));
  }
  std::sort(found.begin(), found.end());
  return found;
}

// The one file in `directory` that is to be opened.
absl::StatusOr<std::string> ChooseFile(const std::string& directory) {
  for (absl::string_view suffix : {kIndexSuffix, kFileSuffix}) {
    RWKVD_ASSIGN_OR_RETURN(const std::vector<std::string> found,
                           FilesEndingIn(directory, suffix));
    if (found.size() == 1) return found[0];
    if (found.size() > 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          directory, ": expected one checkpoint, found ", found.size(),
          "; name one of them: ", absl::StrJoin(found, ", ")));
    }
  }
  return absl::NotFoundError(absl::StrCat(
      directory, ": no *.safetensors and no *.safetensors.index.json in it"));
}

std::string DirectoryOf(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

TensorFile::TensorFile(std::string path)
    : path_(std::move(path)), directory_(DirectoryOf(path_)) {}

absl::StatusOr<std::shared_ptr<const TensorFile>> TensorFile::Open(
    const std::string& path) {
  std::string file = path;
  std::error_code ignored;  // what cannot be examined fails when it is opened
  if (fs::is_directory(path, ignored)) {
    RWKVD_ASSIGN_OR_RETURN(file, ChooseFile(path));
  }
  auto opened = absl::WrapUnique(new TensorFile(std::move(file)));
  RWKVD_RETURN_IF_ERROR(absl::EndsWith(opened->path_, kIndexSuffix)
                            ? opened->AddShards()
                            : opened->AddFile());
  return std::shared_ptr<const TensorFile>(std::move(opened));
}

absl::Status TensorFile::AddFile() {
  RWKVD_ASSIGN_OR_RETURN(auto file, MappedFile::Open(path_));
  RWKVD_ASSIGN_OR_RETURN(std::vector<Tensor> tensors, ParseSafetensors(*file));
  files_.push_back(std::move(file));
  for (Tensor& tensor : tensors) {
    std::string name = tensor.name;
    tensors_.emplace(std::move(name), std::move(tensor));
  }
  return absl::OkStatus();
}

absl::Status TensorFile::AddShards() {
  RWKVD_ASSIGN_OR_RETURN(const auto index_file, MappedFile::Open(path_));
  RWKVD_ASSIGN_OR_RETURN(const ShardIndex index, ParseShardIndex(*index_file));
  absl::flat_hash_map<std::string, absl::flat_hash_map<std::string, Tensor>>
      shards;
  for (const auto& [name, shard_name] : index) {
    auto [shard, is_new] = shards.try_emplace(shard_name);
    if (is_new) {
      const std::string shard_path =
          (fs::path(directory_) / shard_name).string();
      auto file = MappedFile::Open(shard_path);
      if (!file.ok()) {
        return absl::Status(file.status().code(),
                            absl::StrCat(path_, ": shard of tensor \"", name,
                                         "\": ", file.status().message()));
      }
      RWKVD_ASSIGN_OR_RETURN(std::vector<Tensor> tensors,
                             ParseSafetensors(**file));
      files_.push_back(*std::move(file));
      for (Tensor& tensor : tensors) {
        shard->second.emplace(tensor.name, std::move(tensor));
      }
    }
    const auto tensor = shard->second.find(name);
    if (tensor == shard->second.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": tensor \"", name, "\" is not in ", shard_name,
                       ", where the index says it is"));
    }
    tensors_.emplace(name, tensor->second);
  }
  return absl::OkStatus();
}

const Tensor* TensorFile::Find(absl::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

int64_t TensorFile::tensor_bytes() const {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors_) bytes += tensor.num_bytes();
  return bytes;
}

std::string TensorFile::Fingerprint() const {
  Sha256 digest;
  for (const auto& [name, tensor] : tensors_) {
    digest.UpdateWithLength(name);
    digest.UpdateWithLength(NameOf(tensor.dtype));
    digest.UpdateWithLength(ShapeString(tensor.shape));
    const size_t sample = std::min(tensor.data.size(), kFingerprintSample);
    digest.Update(tensor.data.first(sample));
    digest.Update(tensor.data.last(sample));
  }
  return digest.Hex();
}

}  // namespace rwkvd
