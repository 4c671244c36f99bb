// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/convert_checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/file_error.h"
#include "core/base/replace_file.h"
#include "core/base/status_macros.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/finite_weights.h"
#include "core/checkpoint/merge_adapters.h"
#include "core/checkpoint/safetensors_writer.h"
#include "core/checkpoint/stored_blocks.h"
#include "core/checkpoint/tensor_file.h"
#include "core/checkpoint/verify_files.h"
#include "core/quantize/weight_kind.h"
#include "tools/rwkv_convert/byte_size.h"
#include "tools/rwkv_convert/calibration.h"
#include "tools/rwkv_convert/companions.h"
#include "tools/rwkv_convert/file_pages.h"
#include "tools/rwkv_convert/output_directory.h"
#include "tools/rwkv_convert/quantized_pieces.h"
#include "tools/rwkv_convert/shard_plan.h"
#include "tools/rwkv_convert/tensor_reader.h"
#include "tools/rwkv_convert/verify.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

// The names of the files of a checkpoint, all in its folder.
std::vector<std::string> FilesOf(const TensorFile& source) {
  std::vector<std::string> names = {
      fs::path(source.path()).filename().string()};  // perhaps an index
  for (const auto& file : source.files()) {
    names.push_back(fs::path(file->path()).filename().string());
  }
  return names;
}

// Opens the input, with the adapters merged. Merged matrices are F32 if they
// are to be rounded to another type, so that they are rounded only once.
absl::StatusOr<std::shared_ptr<const TensorFile>> OpenSource(
    const ConvertOptions& options, ThreadPool& pool) {
  RWKVD_ASSIGN_OR_RETURN(auto source, TensorFile::Open(options.input));
  if (options.adapters.empty()) return source;
  RWKVD_ASSIGN_OR_RETURN(const std::vector<Adapter> adapters,
                         OpenAdapters(options.adapters, options.adapter_alpha));
  std::optional<DType> merged;
  if (options.target.dtype.dtype.has_value()) merged = DType::kF32;
  return MergeAdapters(std::move(source), adapters, merged, pool);
}

absl::Status CheckSource(const TensorFile& source) {
  if (source.tensors().empty()) {
    return FileError(source.path())("expected tensors, got none");
  }
  return absl::OkStatus();
}

// Refuses to overwrite the files that are being read.
absl::Status CheckCollision(const TensorFile& source,
                            const std::string& directory) {
  std::error_code ignored;  // a folder that does not exist is another one
  if (!fs::equivalent(source.directory(), directory, ignored)) {
    return absl::OkStatus();
  }
  for (const std::string& name : FilesOf(source)) {
    if (IsOutputName(name)) {
      return FileError(directory)("would overwrite the input, ", name,
                                  "; choose another folder");
    }
  }
  return absl::OkStatus();
}

int64_t NumTensors(const std::vector<Shard>& shards) {
  int64_t num = 0;
  for (const Shard& shard : shards) num += static_cast<int64_t>(shard.size());
  return num;
}

absl::Status CheckSpace(const std::string& directory, int64_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(directory, error);
  if (error || space.capacity == 0 ||
      space.available >= static_cast<uintmax_t>(bytes)) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      directory, ": expected ", ShortBytes(bytes), " of free space, got ",
      ShortBytes(static_cast<int64_t>(space.available))));
}

// Everything that is needed to write the tensors of a conversion.
struct Writing {
  const TensorFile& source;
  const FilePages& pages;
  ThreadPool& pool;
  Calibration* const calibration;  // nullptr: none
  OnProgress progress;
  const int64_t all_bytes;
  int64_t done_bytes = 0;

  // Writes the next bytes and reports the progress.
  absl::Status Append(absl::Span<const std::byte> bytes,
                      SafetensorsWriter& writer) {
    RWKVD_RETURN_IF_ERROR(writer.Append(bytes));
    done_bytes += static_cast<int64_t>(bytes.size());
    return progress("writing", done_bytes, all_bytes);
  }
};

// The bytes of scales that are not written yet, by name.
using Scales = std::map<std::string, std::vector<std::byte>>;

absl::Status TooLarge(const Tensor& tensor, const TensorFile& source, DType to,
                      int64_t index) {
  return FileError(source.path())
      .In("tensor", tensor.name)("element ", index, " is beyond ",
                                 LargestOf(to), ", the largest ", NameOf(to),
                                 "; use another --dtype");
}

// Writes one tensor as elements of type `to`, piece by piece.
absl::Status WriteTensor(const Tensor& tensor, DType to, Writing& writing,
                         SafetensorsWriter& writer) {
  const int64_t num = tensor.num_elements();
  const int64_t step = ElementsPerPiece(tensor);
  const DType from = ElementTypeOf(tensor);
  std::vector<std::byte> read, converted;
  for (int64_t first = 0; first < num; first += step) {
    const int64_t piece = std::min(step, num - first);
    read.resize(piece * SizeOf(from));
    converted.resize(piece * SizeOf(to));
    ReadElements(tensor, writing.pages, first, absl::MakeSpan(read));
    const auto bad = FindNonFinite(from, read);
    if (bad) return NonFiniteError(writing.source.path(), tensor, first + *bad);
    const auto too_large = Convert(read, from, to, absl::MakeSpan(converted));
    if (too_large) {
      return TooLarge(tensor, writing.source, to, first + *too_large);
    }
    RWKVD_RETURN_IF_ERROR(writing.Append(converted, writer));
  }
  return absl::OkStatus();
}

// Writes the blocks of the matrix `name`.
absl::Status WriteBlocks(absl::string_view name, Writing& writing,
                         SafetensorsWriter& writer) {
  const Tensor& matrix = *writing.source.Find(name);
  if (const auto bad = FindNonFinite(matrix)) {
    return NonFiniteError(writing.source.path(), matrix, *bad);
  }
  return ReadBlocks(matrix, writing.pages,
                    [&](absl::Span<const std::byte> blocks) {
                      return writing.Append(blocks, writer);
                    });
}

// Writes the quants called `name`, and keeps the scales in `scales`.
absl::Status WriteQuants(const std::string& name, Writing& writing,
                         SafetensorsWriter& writer, Scales& scales) {
  const auto parsed = ParseQuantsName(name);
  RWKVD_CHECK(parsed.has_value());
  const Tensor& matrix = *writing.source.Find(parsed->matrix);
  RWKVD_ASSIGN_OR_RETURN(
      scales[ScalesName(parsed->matrix)],
      QuantizeInPieces(matrix, parsed->form, writing.calibration,
                       writing.progress, writing.pages, writing.pool,
                       [&](absl::Span<const std::byte> quants) {
                         return writing.Append(quants, writer);
                       }));
  return absl::OkStatus();
}

absl::Status WriteShard(const Shard& shard, const std::string& path,
                        Writing& writing) {
  RWKVD_ASSIGN_OR_RETURN(const auto writer,
                         SafetensorsWriter::Create(path, shard));
  Scales scales;
  for (const SafetensorsWriter::Entry& entry : shard) {
    const Tensor* const tensor = writing.source.Find(entry.name);
    const auto blocks_of = MatrixOfBlocks(entry.name);
    if (tensor != nullptr) {
      RWKVD_RETURN_IF_ERROR(
          WriteTensor(*tensor, entry.dtype, writing, *writer));
    } else if (blocks_of.has_value()) {
      RWKVD_RETURN_IF_ERROR(WriteBlocks(*blocks_of, writing, *writer));
    } else if (entry.dtype == DType::kU8) {
      RWKVD_RETURN_IF_ERROR(WriteQuants(entry.name, writing, *writer, scales));
    } else {
      RWKVD_RETURN_IF_ERROR(
          writing.Append(scales.extract(entry.name).mapped(), *writer));
    }
  }
  return writer->Finish();
}

// Writes all files of weights into the folder `drafts`. Writes an index, too,
// and adds it to `names`, if there are several files.
absl::Status WriteWeights(const std::vector<Shard>& shards,
                          const std::string& drafts, Writing& writing,
                          std::vector<std::string>& names) {
  for (size_t i = 0; i < shards.size(); ++i) {
    RWKVD_RETURN_IF_ERROR(
        WriteShard(shards[i], absl::StrCat(drafts, "/", names[i]), writing));
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
  RWKVD_ASSIGN_OR_RETURN(const std::unique_ptr<ThreadPool> threads,
                         ThreadPool::Start(options.threads));
  ThreadPool& pool = *threads;
  RWKVD_ASSIGN_OR_RETURN(const auto source, OpenSource(options, pool));
  RWKVD_RETURN_IF_ERROR(CheckSource(*source));
  RWKVD_RETURN_IF_ERROR(CheckCollision(*source, options.directory));
  RWKVD_RETURN_IF_ERROR(CheckQuantizable(*source, options.target.weights));
  const std::vector<Shard> shards =
      PlanShards(*source, options.target, options.shard_bytes);
  Converted result = {.num_files = static_cast<int64_t>(shards.size()),
                      .num_tensors = NumTensors(shards),
                      .num_bytes = TotalBytes(shards)};
  if (options.verify) {
    RWKVD_ASSIGN_OR_RETURN(
        const VerifiedFiles verified,
        VerifyFiles(*source, pool, [&](int64_t done, int64_t all) {
          return progress("checking", done, all);
        }));
    result.num_checked_bytes = verified.num_bytes;
  }
  result.zero_matrices = FindZeroMatrices(*source);
  std::unique_ptr<Calibration> calibration;
  if (!options.calibration.text.empty()) {
    RWKVD_ASSIGN_OR_RETURN(calibration,
                           Calibration::Create(source, options.target.weights,
                                               options.calibration, &pool));
  }

  RWKVD_ASSIGN_OR_RETURN(
      const auto output,
      OutputDirectory::Prepare(options.directory, options.force,
                               !source->has_embedding_norm()));
  RWKVD_RETURN_IF_ERROR(CheckSpace(options.directory, result.num_bytes));
  RWKVD_ASSIGN_OR_RETURN(Companions companions,
                         WriteCompanions(*source, output->drafts()));
  result.lacks_tokenizer = companions.lacks_tokenizer;
  RWKVD_ASSIGN_OR_RETURN(std::vector<std::string> weights,
                         output->FreeShardNames(shards.size()));
  const FilePages pages;
  pages.ReleaseAll();  // the pages that opening has read
  Writing writing{*source,           pages,    pool,
                  calibration.get(), progress, result.num_bytes};
  RWKVD_RETURN_IF_ERROR(
      WriteWeights(shards, output->drafts(), writing, weights));
  if (options.verify) {
    RWKVD_ASSIGN_OR_RETURN(const auto written,
                           TensorFile::Open(output->drafts()));
    RWKVD_RETURN_IF_ERROR(Verify(*source, *written, options.target, pool,
                                 calibration.get(), progress));
    result.verified = true;
  }
  std::vector<std::string>& names = companions.names;
  names.insert(names.end(), weights.begin(), weights.end());
  RWKVD_RETURN_IF_ERROR(output->Commit(names));
  return result;
}

}  // namespace rwkvd
