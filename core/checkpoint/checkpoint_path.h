// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_CHECKPOINT_PATH_H_
#define RWKVD_CORE_CHECKPOINT_CHECKPOINT_PATH_H_

#include <string>

#include "absl/status/statusor.h"

namespace rwkvd {

// The file to open for `path`: `path` itself, unless it is a directory. In a
// directory, the first of these files that exists:
//
//   model.safetensors.index.json, model.safetensors,
//   pytorch_model.bin.index.json, pytorch_model.bin,
//   the only *.index.json,
//   the only *.safetensors or *.st,
//   the only *.pth,
//   the only *.bin or *.pt that torch.save wrote.
//
// Returns InvalidArgument with the names of the files if there are several
// where only one is expected, and NotFound if there is no such file.
absl::StatusOr<std::string> ChooseCheckpoint(const std::string& path);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_CHECKPOINT_PATH_H_
