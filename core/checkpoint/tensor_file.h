// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_TENSOR_FILE_H_
#define RWKVD_CORE_CHECKPOINT_TENSOR_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/mapped_file.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// All tensors of a checkpoint, however many files they are spread over.
//
// Owned through a shared_ptr by the model whose weights view it. Thread-safe
// (immutable). Every tensor's bounds have been checked against its file.
class TensorFile {
 public:
  // `path` is a safetensors file, an index (*.index.json) that names the
  // shards beside it, or a directory that holds either: its one index if there
  // is one, else its one *.safetensors; of several none is guessed. NotFound
  // or InvalidArgument otherwise, or if any file is damaged; the message says
  // which file, where, what was expected and what was found.
  static absl::StatusOr<std::shared_ptr<const TensorFile>> Open(
      const std::string& path);

  // By name, in byte order.
  const absl::btree_map<std::string, Tensor>& tensors() const {
    return tensors_;
  }
  // nullptr if there is no such tensor.
  const Tensor* Find(absl::string_view name) const;

  // The file or index opened, and the folder it lies in, where companions such
  // as the tokenizer are looked for.
  const std::string& path() const { return path_; }
  const std::string& directory() const { return directory_; }
  int64_t num_files() const { return static_cast<int64_t>(files_.size()); }
  // Of all tensors together.
  int64_t tensor_bytes() const;

  // Identifies the weights, however they are spread over files: SHA-256, in
  // hex, over each tensor's name, type, shape and first and last 4096 bytes.
  // Sampled, so that starting does not read the whole checkpoint.
  std::string Fingerprint() const;

 private:
  explicit TensorFile(std::string path);

  absl::Status AddFile();
  absl::Status AddShards();

  const std::string path_;
  const std::string directory_;
  std::vector<std::shared_ptr<const MappedFile>> files_;
  absl::btree_map<std::string, Tensor> tensors_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_TENSOR_FILE_H_
