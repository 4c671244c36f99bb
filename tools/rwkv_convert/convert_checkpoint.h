// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_CONVERT_CHECKPOINT_H_
#define RWKVD_TOOLS_RWKV_CONVERT_CONVERT_CHECKPOINT_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/rwkv_convert/calibration.h"
#include "tools/rwkv_convert/conversion.h"

namespace rwkvd {

struct ConvertOptions {
  std::string input;      // as TensorFile::Open takes it
  std::string directory;  // made if need be
  Target target;
  CalibrationOptions calibration;  // for weights that are quantized
  int threads = 1;                 // that quantize
  int64_t shard_bytes = 4'000'000'000;
  bool verify = false;
  bool force = false;  // replace a checkpoint in `directory`
};

// What has been written.
struct Converted {
  int64_t num_files = 0;  // of weights
  int64_t num_tensors = 0;
  int64_t num_bytes = 0;  // of tensors
  bool verified = false;
  // Text needs a tokenizer, and there was none to copy.
  bool lacks_tokenizer = false;
};

// Told now and then how many bytes of how many have been written or verified
// (`doing`), many times a second. A status that is not OK ends the conversion
// with it.
using OnProgress =
    absl::FunctionRef<absl::Status(absl::string_view doing, int64_t, int64_t)>;

// Writes a checkpoint of any format as safetensors under native names. Nothing
// appears in the folder before all of it has been written and, if so wished,
// verified. Takes little memory, whatever the checkpoint's size, except to
// calibrate (Calibration).
//
// Errors are those of TensorFile, OutputDirectory and Calibration, and
// InvalidArgument if the result could not be the same network: a number too
// large for its new type, a weight that cannot be quantized or is so already,
// or a network that native names cannot express; DataLoss if what has been
// written differs from what was to be.
absl::StatusOr<Converted> ConvertCheckpoint(const ConvertOptions& options,
                                            OnProgress progress);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_CONVERT_CHECKPOINT_H_
