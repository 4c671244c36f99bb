// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/convert_checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/mapped_file.h"
#include "core/base/replace_file.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/complaint.h"
#include "core/checkpoint/file_format.h"
#include "core/checkpoint/safetensors_writer.h"
#include "core/checkpoint/shard_index.h"
#include "core/checkpoint/tensor_file.h"
#include "tools/rwkv_convert/byte_size.h"
#include "tools/rwkv_convert/companions.h"
#include "tools/rwkv_convert/file_pages.h"
#include "tools/rwkv_convert/output_directory.h"
#include "tools/rwkv_convert/shard_plan.h"
#include "tools/rwkv_convert/tensor_reader.h"
#include "tools/rwkv_convert/verify.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

// The files that a checkpoint was read from, by name; all lie in its folder.
absl::StatusOr<std::vector<std::string>> FilesOf(const TensorFile& source) {
  RWKVD_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(source.path()));
  std::vector<std::string> names = {
      fs::path(source.path()).filename().string()};
  if (IsShardIndex(*file)) {
    RWKVD_ASSIGN_OR_RETURN(const ShardIndex index, ParseShardIndex(*file));
    for (const auto& [tensor, shard] : index) names.push_back(shard);
  }
  return names;
}

absl::Status CheckSource(const TensorFile& source) {
  if (source.tensors().empty()) {
    return Complaint(source.path())("holds no tensors");
  }
  if (!source.has_embedding_norm()) {
    return Complaint(source.path())(
        "config.json says \"norm_first\": false, that this network does "
        "without blocks.0.ln0; a checkpoint of native names cannot say so. "
        "rwkvd serves it as it is");
  }
  return absl::OkStatus();
}

// Of networks with a vocabulary, those over the 256 bytes need no file.
bool NeedsTokenizer(const TensorFile& source) {
  const Tensor* embedding = source.Find("emb.weight");
  return embedding != nullptr && !embedding->shape.empty() &&
         embedding->shape[0] != 256;
}

// Never the files that are being read.
absl::Status CheckCollision(const TensorFile& source,
                            const std::string& directory) {
  std::error_code ignored;  // what is not there is not the same
  if (!fs::equivalent(source.directory(), directory, ignored)) {
    return absl::OkStatus();
  }
  RWKVD_ASSIGN_OR_RETURN(const auto files, FilesOf(source));
  for (const std::string& name : files) {
    if (IsOutputName(name)) {
      return Complaint(directory)("would write over the input, ", name,
                                  "; name another folder");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSpace(const std::string& directory, int64_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(directory, error);
  if (error || space.capacity == 0 ||
      space.available >= static_cast<uintmax_t>(bytes)) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      directory, ": no room for ", ShortBytes(bytes), ": only ",
      ShortBytes(static_cast<int64_t>(space.available)), " are free"));
}

// Counts the bytes written, and tells.
class Meter {
 public:
  Meter(OnProgress progress, int64_t all) : progress_(progress), all_(all) {}

  absl::Status Add(size_t bytes) {
    done_ += static_cast<int64_t>(bytes);
    return progress_("writing", done_, all_);
  }

 private:
  const OnProgress progress_;
  const int64_t all_;
  int64_t done_ = 0;
};

absl::Status TooLarge(const Tensor& tensor, const TensorFile& source, DType to,
                      int64_t index) {
  return Complaint(source.path())
      .About("tensor", tensor.name)("element ", index, " is beyond ",
                                    LargestOf(to), ", the largest ", NameOf(to),
                                    "; use another --dtype");
}

// Writes one tensor as elements of type `to`, piece by piece.
absl::Status WriteTensor(const Tensor& tensor, const TensorFile& source,
                         DType to, const FilePages& pages,
                         SafetensorsWriter& writer, Meter& meter) {
  const int64_t num = tensor.num_elements();
  const int64_t step = ElementsPerPiece(tensor);
  std::vector<std::byte> read, converted;
  for (int64_t first = 0; first < num; first += step) {
    const int64_t piece = std::min(step, num - first);
    read.resize(piece * SizeOf(tensor.dtype));
    converted.resize(piece * SizeOf(to));
    ReadElements(tensor, pages, first, absl::MakeSpan(read));
    const auto too_large =
        Convert(read, tensor.dtype, to, absl::MakeSpan(converted));
    if (too_large) return TooLarge(tensor, source, to, first + *too_large);
    RWKVD_RETURN_IF_ERROR(writer.Append(converted));
    RWKVD_RETURN_IF_ERROR(meter.Add(converted.size()));
  }
  return absl::OkStatus();
}

absl::Status WriteShard(const TensorFile& source, const Shard& shard,
                        const std::string& path, const FilePages& pages,
                        Meter& meter) {
  RWKVD_ASSIGN_OR_RETURN(const auto writer,
                         SafetensorsWriter::Create(path, shard));
  for (const SafetensorsWriter::Entry& entry : shard) {
    RWKVD_RETURN_IF_ERROR(WriteTensor(*source.Find(entry.name), source,
                                      entry.dtype, pages, *writer, meter));
  }
  return writer->Finish();
}

// Writes all files of weights into the folder `drafts`; adds the index to
// `names`, if there is to be one.
absl::Status WriteWeights(const TensorFile& source,
                          const std::vector<Shard>& shards,
                          const std::string& drafts, OnProgress progress,
                          std::vector<std::string>& names) {
  const FilePages pages;
  pages.ReleaseAll();  // what opening has touched
  Meter meter(progress, TotalBytes(shards));
  for (size_t i = 0; i < shards.size(); ++i) {
    RWKVD_RETURN_IF_ERROR(WriteShard(
        source, shards[i], absl::StrCat(drafts, "/", names[i]), pages, meter));
  }
  if (shards.size() == 1) return absl::OkStatus();
  RWKVD_RETURN_IF_ERROR(ReplaceFile(absl::StrCat(drafts, "/", kIndexFile),
                                    IndexText(shards, names)));
  names.push_back(kIndexFile);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Converted> ConvertCheckpoint(const ConvertOptions& options,
                                            OnProgress progress) {
  RWKVD_ASSIGN_OR_RETURN(const auto source, TensorFile::Open(options.input));
  RWKVD_RETURN_IF_ERROR(CheckSource(*source));
  RWKVD_RETURN_IF_ERROR(CheckCollision(*source, options.directory));
  const std::vector<Shard> shards =
      PlanShards(*source, options.dtype, options.shard_bytes);
  Converted result = {
      .num_files = static_cast<int64_t>(shards.size()),
      .num_tensors = static_cast<int64_t>(source->tensors().size()),
      .num_bytes = TotalBytes(shards)};

  RWKVD_ASSIGN_OR_RETURN(
      const auto output,
      OutputDirectory::Prepare(options.directory, options.force));
  RWKVD_RETURN_IF_ERROR(CheckSpace(options.directory, result.num_bytes));
  RWKVD_ASSIGN_OR_RETURN(std::vector<std::string> names,
                         CopyCompanions(source->directory(), output->drafts()));
  result.lacks_tokenizer = names.empty() && NeedsTokenizer(*source);
  RWKVD_ASSIGN_OR_RETURN(std::vector<std::string> weights,
                         output->FreeShardNames(shards.size()));
  RWKVD_RETURN_IF_ERROR(
      WriteWeights(*source, shards, output->drafts(), progress, weights));
  if (options.verify) {
    RWKVD_ASSIGN_OR_RETURN(const auto written,
                           TensorFile::Open(output->drafts()));
    RWKVD_RETURN_IF_ERROR(Verify(*source, *written, options.dtype, progress));
    result.verified = true;
  }
  names.insert(names.end(), weights.begin(), weights.end());
  RWKVD_RETURN_IF_ERROR(output->Commit(names));
  return result;
}

}  // namespace rwkvd
