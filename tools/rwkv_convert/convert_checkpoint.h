// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_CONVERT_CHECKPOINT_H_
#define RWKVD_TOOLS_RWKV_CONVERT_CONVERT_CHECKPOINT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/checkpoint/adapter.h"
#include "core/checkpoint/zero_matrices.h"
#include "tools/rwkv_convert/calibration.h"
#include "tools/rwkv_convert/conversion.h"

namespace rwkvd {

// What to convert, and to what. A value.
struct ConvertOptions {
  std::string input;                    // as TensorFile::Open takes it
  std::string directory;                // created if it does not exist
  std::vector<AdapterPath> adapters;    // merged into the weights, in order
  std::optional<double> adapter_alpha;  // of adapters that do not contain it
  Target target;
  CalibrationOptions calibration;  // of quantized weights
  int threads = 1;                 // for quantization
  int64_t shard_bytes = 4'000'000'000;
  bool verify = false;
  bool force = false;  // replace a checkpoint in `directory`
};

// The result of a conversion.
struct Converted {
  int64_t num_files = 0;  // files of weights
  int64_t num_tensors = 0;
  int64_t num_bytes = 0;  // bytes of tensors
  // Bytes of the input that agreed with checksums; only if verified.
  int64_t num_checked_bytes = 0;
  bool verified = false;
  std::vector<ZeroMatrix> zero_matrices;  // of the input
  // The model needs a tokenizer, but there was none to copy.
  bool lacks_tokenizer = false;
};

// Called many times per second, by one thread at a time, with the number of
// bytes that have been checked, written or verified (`doing` says which) and
// the total. If it returns an error, the conversion ends with this error.
using OnProgress =
    absl::FunctionRef<absl::Status(absl::string_view doing, int64_t, int64_t)>;

// Writes a checkpoint of any format as safetensors with native names. No file
// appears in the folder until all files have been written and, if requested,
// verified. Needs little memory, however large the checkpoint is, except for
// matrices that adapters change, and for calibration (Calibration). Next to a
// model that applies no LayerNorm to its stored embedding, it writes a
// config.json that says so.
//
// Errors are those of TensorFile, MergeAdapters, OutputDirectory and
// Calibration. InvalidArgument if the result could not be the same model: a
// weight is not finite or too large for its new type, or a weight cannot be
// quantized or already is. DataLoss if verification fails, which begins with
// the checksums of the input.
absl::StatusOr<Converted> ConvertCheckpoint(const ConvertOptions& options,
                                            OnProgress progress);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_CONVERT_CHECKPOINT_H_
