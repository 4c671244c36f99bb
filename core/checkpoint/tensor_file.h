// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_TENSOR_FILE_H_
#define RWKVD_CORE_CHECKPOINT_TENSOR_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/mapped_file.h"
#include "core/checkpoint/checkpoint_path.h"
#include "core/checkpoint/gguf_model.h"
#include "core/checkpoint/gguf_values.h"
#include "core/checkpoint/native_tensors.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// All tensors of a checkpoint with native names, shapes and orientation,
// independent of its format, layout and number of files.
//
// Shared ownership: the model whose weights view the file keeps a shared_ptr to
// it. Thread-safe (immutable). All tensors have been checked to lie within
// their files.
class TensorFile {
 public:
  // `path` is a safetensors file, a file written by torch.save, an index of
  // such files in the same directory, a GGUF file or the first of its parts, or
  // a directory that contains one of these or shards without an index (see
  // checkpoint_path.h). The format is recognized by the content. Except with
  // GGUF files, a config.json in the same directory is read too. Returns
  // NotFound or InvalidArgument if there is no such file or a file is damaged;
  // the message has the file, the position, the expected value and the actual
  // one.
  static absl::StatusOr<std::shared_ptr<const TensorFile>> Open(
      const std::string& path);

  // A tensor, and the memory that it views.
  struct OwnedTensor {
    Tensor tensor;
    std::shared_ptr<std::byte[]> memory;
  };

  // Returns `base` with other tensors instead of those with the same names.
  static std::shared_ptr<const TensorFile> WithReplaced(
      std::shared_ptr<const TensorFile> base, std::vector<OwnedTensor> tensors);
  // Returns `file` without those of its replaced tensors that `names` contains,
  // and without their memory.
  static std::shared_ptr<const TensorFile> WithoutReplaced(
      std::shared_ptr<const TensorFile> file,
      absl::Span<const std::string> names);

  // All tensors by name, in byte order of the names.
  const absl::btree_map<std::string, Tensor>& tensors() const {
    return tensors_;
  }
  // The tensor called `name`, or nullptr.
  const Tensor* Find(absl::string_view name) const;

  // The path of the file or index that was opened, or the directory of shards
  // without an index; and the directory, which is searched for companions such
  // as the tokenizer.
  const std::string& path() const { return path_; }
  const std::string& directory() const { return directory_; }
  // The files of weights.
  absl::Span<const std::shared_ptr<const MappedFile>> files() const {
    return files_;
  }
  int64_t num_files() const { return static_cast<int64_t>(files_.size()); }
  // The size of all tensors together.
  int64_t tensor_bytes() const;

  // The layout of the files, and the number of bytes that had to be copied to
  // translate it, usually 0.
  Layout layout() const { return native_.layout; }
  int64_t copied_bytes() const { return native_.copied_bytes; }
  // The bytes of all tensors that were replaced.
  int64_t replaced_bytes() const;
  // Whether the model has blocks.0.ln0.
  bool has_embedding_norm() const { return native_.has_embedding_norm; }

  // The tokenizer and the chat template of a GGUF file, which view the file.
  // Files without them, and other formats, have a tokenizer without tokens and
  // no template. InvalidArgument as of TokenizerOf.
  absl::StatusOr<GgufTokenizer> embedded_tokenizer() const;
  absl::StatusOr<std::optional<absl::string_view>> chat_template() const;

  // Identifies the weights, independent of format, layout and number of files:
  // the SHA-256 digest, in hexadecimal, of each tensor's native name, type,
  // shape without dimensions of 1, and first and last 4096 bytes in row-major
  // order; of a block type instead the first and last blocks in 4096 bytes
  // each, in the order of memory, and the factor. It covers only samples, so
  // that starting the server does not read the whole checkpoint.
  std::string Fingerprint() const;

  // Reads all pages of the files, so that the first requests need not wait for
  // the disk. Calls `progress` regularly, and at the end, with the number of
  // bytes read and the number of bytes of all files.
  void Preload(absl::FunctionRef<void(int64_t, int64_t)> progress) const;

  // Lets the process give up the memory of a tensor's pages, since they were
  // copied; see MappedFile.
  void Release(const Tensor& tensor) const;

  // Whether the mapped files are still what was opened; see MappedFile.
  absl::Status CheckUnchanged() const;
  bool IsLost() const;
  bool IsReplaced() const;

 private:
  explicit TensorFile(const CheckpointPath& chosen);
  TensorFile(const TensorFile&) = default;

  absl::Status Read(const CheckpointPath& chosen);
  absl::Status ReadNative(const CheckpointPath& chosen);
  absl::Status ReadGguf(std::shared_ptr<const MappedFile> file);
  absl::Status ReadStateDict(const CheckpointPath& chosen);
  absl::StatusOr<std::vector<Tensor>> ReadFiles(const CheckpointPath& chosen);
  absl::StatusOr<std::vector<Tensor>> ReadShards(const MappedFile& index);
  absl::StatusOr<std::vector<Tensor>> ReadShard(const std::string& name,
                                                absl::string_view tensor);

  const std::string path_;
  const std::string directory_;
  std::vector<std::shared_ptr<const MappedFile>> files_;
  std::optional<GgufValues> gguf_values_;
  NativeTensors native_;  // without its tensors, which are in tensors_
  absl::btree_map<std::string, Tensor> tensors_;
  // The memory of tensors that were replaced, by name.
  absl::btree_map<std::string, std::shared_ptr<const std::byte[]>> replaced_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_TENSOR_FILE_H_
