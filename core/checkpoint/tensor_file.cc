// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/tensor_file.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/file_error.h"
#include "core/base/mapping_faults.h"
#include "core/base/quote.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/file_format.h"
#include "core/checkpoint/gguf.h"
#include "core/checkpoint/hub_config.h"
#include "core/checkpoint/layout.h"
#include "core/checkpoint/shard_index.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFingerprintSample = 4096;  // bytes at each end of a tensor
constexpr size_t kPreloadChunk = 64 << 20;    // bytes between progress reports

std::string DirectoryOf(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

void AddSample(const Tensor& tensor, int64_t first, int64_t num_bytes,
               Sha256& digest) {
  std::vector<std::byte> sample(num_bytes);
  CopyElements(tensor, first, absl::MakeSpan(sample));
  digest.Update(sample);
}

// Adds the first and the last elements in row-major order.
void AddSamples(const Tensor& tensor, Sha256& digest) {
  const int64_t sample = std::min(tensor.num_bytes(), kFingerprintSample);
  const int64_t elements = sample / static_cast<int64_t>(SizeOf(tensor.dtype));
  AddSample(tensor, 0, sample, digest);
  AddSample(tensor, tensor.num_elements() - elements, sample, digest);
}

// Adds the first and the last blocks in the order of memory, and the factor.
void AddBlockSamples(const Tensor& tensor, Sha256& digest) {
  const int64_t whole_blocks =
      kFingerprintSample / BlockBytes(tensor.dtype) * BlockBytes(tensor.dtype);
  const size_t sample = std::min<size_t>(tensor.data.size(), whole_blocks);
  digest.Update(tensor.data.first(sample));
  digest.Update(tensor.data.last(sample));
  digest.UpdateWithLength(absl::StrCat(tensor.factor));
}

}  // namespace

TensorFile::TensorFile(const CheckpointPath& chosen)
    : path_(chosen.path),
      directory_(chosen.shards.empty() ? DirectoryOf(path_) : path_) {}

absl::StatusOr<std::shared_ptr<const TensorFile>> TensorFile::Open(
    const std::string& path) {
  RWKVD_ASSIGN_OR_RETURN(const CheckpointPath chosen, ChooseCheckpoint(path));
  auto opened = absl::WrapUnique(new TensorFile(chosen));
  RWKVD_RETURN_IF_ERROR(opened->Read(chosen));
  return std::shared_ptr<const TensorFile>(std::move(opened));
}

std::shared_ptr<const TensorFile> TensorFile::WithReplaced(
    std::shared_ptr<const TensorFile> base, std::vector<OwnedTensor> tensors) {
  auto changed = absl::WrapUnique(new TensorFile(*base));
  for (OwnedTensor& owned : tensors) {
    const std::string name = owned.tensor.name;
    changed->tensors_[name] = std::move(owned.tensor);
    changed->replaced_[name] = std::move(owned.memory);
  }
  return changed;
}

std::shared_ptr<const TensorFile> TensorFile::WithoutReplaced(
    std::shared_ptr<const TensorFile> file,
    absl::Span<const std::string> names) {
  if (file->replaced_.empty()) return file;
  auto changed = absl::WrapUnique(new TensorFile(*file));
  for (const std::string& name : names) {
    if (changed->replaced_.erase(name) > 0) changed->tensors_.erase(name);
  }
  return changed;
}

int64_t TensorFile::replaced_bytes() const {
  int64_t bytes = 0;
  for (const auto& [name, memory] : replaced_) {
    bytes += tensors_.at(name).num_bytes();
  }
  return bytes;
}

absl::StatusOr<std::vector<Tensor>> TensorFile::ReadFiles(
    const CheckpointPath& chosen) {
  std::vector<Tensor> stored;
  for (const std::string& path : chosen.shards) {
    RWKVD_ASSIGN_OR_RETURN(auto shard, MappedFile::Open(path));
    RWKVD_ASSIGN_OR_RETURN(std::vector<Tensor> tensors, ParseTensors(*shard));
    files_.push_back(std::move(shard));
    std::move(tensors.begin(), tensors.end(), std::back_inserter(stored));
  }
  if (!chosen.shards.empty()) return stored;
  RWKVD_ASSIGN_OR_RETURN(auto file, MappedFile::Open(path_));
  if (IsShardIndex(*file)) return ReadShards(*file);
  files_.push_back(file);
  return ParseTensors(*file);
}

absl::Status TensorFile::Read(const CheckpointPath& chosen) {
  RWKVD_RETURN_IF_ERROR(ReadNative(chosen));
  for (Tensor& tensor : native_.tensors) {
    std::string name = tensor.name;
    tensors_.emplace(std::move(name), std::move(tensor));
  }
  native_.tensors.clear();
  return absl::OkStatus();
}

absl::Status TensorFile::ReadNative(const CheckpointPath& chosen) {
  if (!chosen.shards.empty()) return ReadStateDict(chosen);
  RWKVD_ASSIGN_OR_RETURN(auto file, MappedFile::Open(path_));
  return IsGguf(file->bytes()) ? ReadGguf(std::move(file))
                               : ReadStateDict(chosen);
}

absl::Status TensorFile::ReadGguf(std::shared_ptr<const MappedFile> file) {
  RWKVD_ASSIGN_OR_RETURN(GgufModel model, OpenGgufModel(std::move(file)));
  files_ = std::move(model.files);
  gguf_values_ = std::move(model.values);
  native_ = std::move(model.native);
  return absl::OkStatus();
}

absl::Status TensorFile::ReadStateDict(const CheckpointPath& chosen) {
  RWKVD_ASSIGN_OR_RETURN(const HubConfig config, FindHubConfig(directory_));
  // First, because the types of quantized tensors say less.
  RWKVD_RETURN_IF_ERROR(CheckNotQuantized(config, path_));
  RWKVD_ASSIGN_OR_RETURN(std::vector<Tensor> stored, ReadFiles(chosen));
  RWKVD_ASSIGN_OR_RETURN(native_,
                         ToNativeLayout(std::move(stored), path_, config));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Tensor>> TensorFile::ReadShard(
    const std::string& name, absl::string_view tensor) {
  auto file = MappedFile::Open((fs::path(directory_) / name).string());
  if (!file.ok()) {
    return absl::Status(
        file.status().code(),
        absl::StrCat(path_, ": shard of tensor ", Quoted(tensor), ": ",
                     file.status().message(),
                     absl::IsNotFound(file.status())
                         ? "; download all files that the index names"
                         : ""));
  }
  files_.push_back(*file);
  return ParseTensors(**file);
}

absl::StatusOr<std::vector<Tensor>> TensorFile::ReadShards(
    const MappedFile& index_file) {
  RWKVD_ASSIGN_OR_RETURN(const ShardIndex index, ParseShardIndex(index_file));
  absl::flat_hash_map<std::string, absl::flat_hash_map<std::string, Tensor>>
      shards;
  std::vector<Tensor> stored;
  for (const auto& [name, shard_name] : index) {
    auto [shard, is_new] = shards.try_emplace(shard_name);
    if (is_new) {
      RWKVD_ASSIGN_OR_RETURN(std::vector<Tensor> tensors,
                             ReadShard(shard_name, name));
      for (Tensor& tensor : tensors) {
        std::string key = tensor.name;
        shard->second.emplace(std::move(key), std::move(tensor));
      }
    }
    const auto tensor = shard->second.find(name);
    if (tensor == shard->second.end()) {
      return FileError(path_)("tensor ", Quoted(name), " is not in ",
                              Quoted(shard_name),
                              ", the shard that the index names for it");
    }
    stored.push_back(std::move(tensor->second));
  }
  return stored;
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

absl::StatusOr<GgufTokenizer> TensorFile::embedded_tokenizer() const {
  if (!gguf_values_.has_value()) return GgufTokenizer();
  return TokenizerOf(*gguf_values_);
}

absl::StatusOr<std::optional<absl::string_view>> TensorFile::chat_template()
    const {
  if (!gguf_values_.has_value()) return std::nullopt;
  return ChatTemplateOf(*gguf_values_);
}

std::string TensorFile::Fingerprint() const {
  Sha256 digest;
  for (const auto& [name, tensor] : tensors_) {
    digest.UpdateWithLength(name);
    digest.UpdateWithLength(NameOf(tensor.dtype));
    digest.UpdateWithLength(ShapeString(Squeezed(tensor).shape));
    if (IsBlockType(tensor.dtype)) {
      AddBlockSamples(tensor, digest);
    } else {
      AddSamples(tensor, digest);
    }
  }
  return digest.Hex();
}

absl::Status TensorFile::CheckUnchanged() const {
  for (const auto& file : files_) {
    RWKVD_RETURN_IF_ERROR(file->CheckUnchanged());
  }
  return absl::OkStatus();
}

bool TensorFile::IsLost() const {
  if (NumLostMappings() == 0) return false;
  return std::any_of(files_.begin(), files_.end(),
                     [](const auto& file) { return file->is_lost(); });
}

bool TensorFile::IsReplaced() const {
  return std::any_of(files_.begin(), files_.end(),
                     [](const auto& file) { return file->IsReplaced(); });
}

void TensorFile::Preload(
    absl::FunctionRef<void(int64_t, int64_t)> progress) const {
  int64_t total = 0, done = 0;
  for (const auto& file : files_) total += file->bytes().size();
  for (const auto& file : files_) {
    const size_t size = file->bytes().size();
    for (size_t begin = 0; begin < size; begin += kPreloadChunk) {
      const size_t chunk = std::min(kPreloadChunk, size - begin);
      file->Preload(begin, chunk);
      done += chunk;
      progress(done, total);
    }
  }
}

void TensorFile::Release(const Tensor& tensor) const {
  for (const auto& file : files_) {
    const absl::Span<const std::byte> bytes = file->bytes();
    const std::byte* const end = bytes.data() + bytes.size();
    if (tensor.data.data() < bytes.data() || tensor.data.data() >= end) {
      continue;
    }
    file->Release(tensor.data.data() - bytes.data(), tensor.data.size());
  }
}

}  // namespace rwkvd
