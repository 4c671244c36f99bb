// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_TENSOR_FILE_H_
#define RWKVD_CORE_CHECKPOINT_TENSOR_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/mapped_file.h"
#include "core/checkpoint/native_tensors.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// All tensors of a checkpoint under their native names, shapes and orientation,
// whatever its format and layout and however many files it is spread over.
//
// Owned through a shared_ptr by the model whose weights view it. Thread-safe
// (immutable). Every tensor's bounds have been checked against its file.
class TensorFile {
 public:
  // `path` is a safetensors file, a file of torch.save, an index that names
  // such files beside it, or a directory that holds one of these (see
  // checkpoint_path.h). What a file is, is seen from its content. A config.json
  // beside it is read too. NotFound or InvalidArgument otherwise, or if any
  // file is damaged; the message says which file, where, what was expected and
  // what was found.
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

  // Which naming the files came in, and the bytes of tensors that had to be
  // rearranged in memory for it: 0 as a rule.
  Layout layout() const { return native_.layout; }
  int64_t copied_bytes() const { return native_.copied_bytes; }
  // False if the network is configured to do without blocks.0.ln0.
  bool has_embedding_norm() const { return native_.has_embedding_norm; }

  // Identifies the weights, whatever format, layout and number of files they
  // come in: SHA-256, in hex, over each tensor's native name, type, shape
  // without dimensions of 1, and first and last 4096 bytes in row-major order.
  // Sampled, so that starting does not read the whole checkpoint.
  std::string Fingerprint() const;

  // Reads every page of the files once, so that the first token need not.
  // Calls `progress` with the bytes done and the bytes of all files, now and
  // then and at the end.
  void Preload(absl::FunctionRef<void(int64_t, int64_t)> progress) const;

 private:
  explicit TensorFile(std::string path);

  absl::Status Read();
  absl::StatusOr<std::vector<Tensor>> ReadShards(const MappedFile& index);
  absl::StatusOr<std::vector<Tensor>> ReadShard(const std::string& name,
                                                absl::string_view tensor);

  const std::string path_;
  const std::string directory_;
  std::vector<std::shared_ptr<const MappedFile>> files_;
  NativeTensors native_;  // but for its tensors, which are below
  absl::btree_map<std::string, Tensor> tensors_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_TENSOR_FILE_H_
