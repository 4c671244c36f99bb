// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_ADAPTER_H_
#define RWKVD_CORE_CHECKPOINT_ADAPTER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/mapped_file.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// A change of one matrix W [out, in]: W + scale B A. With a magnitude (DoRA),
// each row of the sum is then scaled to that length. Views the adapter's files.
struct LowRankUpdate {
  std::string target;  // the native name of W
  Tensor a;            // [rank, in]
  Tensor b;            // [out, rank]
  double scale = 0;
  std::optional<Tensor> magnitude;  // [out]
  std::string stored;               // the name of A in the file, for messages
};

// Where an adapter is: the flag --adapter=[NAME=]PATH. A value.
struct AdapterPath {
  std::string name;
  std::string path;
};

// Parses "NAME=PATH" or "PATH". A name has 1 to 64 letters, digits, ".", "_"
// and "-"; the default is the name of the file or folder. InvalidArgument if
// there is no path.
absl::StatusOr<AdapterPath> ParseAdapterPath(absl::string_view text);

// A LoRA adapter of fine-tuning, in one of these forms:
//
//  - a folder of PEFT: adapter_config.json and adapter_model.safetensors or
//    adapter_model.bin, for a base model with any names that rwkvd knows;
//  - a file of older RWKV-PEFT and of RWKV-LM-LoRA, which does not contain
//    alpha: tensors NAME.lora_A and NAME.lora_B, and whole tensors that replace
//    those of the base model.
//
// A value; thread-safe (immutable). Its tensors view its files, which it keeps
// mapped.
class Adapter {
 public:
  // Opens the adapter at `where.path`, a folder or its file of weights. `alpha`
  // is for files without a configuration. InvalidArgument if the adapter is
  // damaged or of another kind (MiSS, Bone, DiSHA, PiSSA, ...), or lacks its
  // alpha; also what MappedFile::Open returns. Messages have the file, and the
  // tensor or field.
  static absl::StatusOr<Adapter> Open(const AdapterPath& where,
                                      std::optional<double> alpha);

  const std::string& name() const { return name_; }
  const std::string& path() const { return path_; }  // of the weights
  bool has_config() const { return has_config_; }

  absl::Span<const LowRankUpdate> updates() const { return updates_; }
  // Tensors, with native names, that replace those of the base model.
  absl::Span<const Tensor> replacements() const { return replacements_; }

  // DataLoss if another process has changed the file of the weights.
  absl::Status CheckUnchanged() const { return file_->CheckUnchanged(); }

 private:
  class Reader;

  std::string name_;
  std::string path_;
  bool has_config_ = false;
  std::shared_ptr<const MappedFile> file_;
  std::vector<LowRankUpdate> updates_;
  std::vector<Tensor> replacements_;
};

// Opens all adapters. InvalidArgument also if `alpha` is given, but all of them
// have a configuration.
absl::StatusOr<std::vector<Adapter>> OpenAdapters(
    absl::Span<const AdapterPath> paths, std::optional<double> alpha);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_ADAPTER_H_
