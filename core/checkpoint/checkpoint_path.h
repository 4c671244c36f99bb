// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_CHECKPOINT_PATH_H_
#define RWKVD_CORE_CHECKPOINT_CHECKPOINT_PATH_H_

#include <string>

#include "absl/status/statusor.h"

namespace rwkvd {

// The file to open for `path`: itself, unless it is a directory. Of a
// directory's files the first there is of:
//
//   model.safetensors.index.json, model.safetensors,
//   pytorch_model.bin.index.json, pytorch_model.bin,
//   the one *.index.json,
//   the one *.safetensors or *.st,
//   the one *.pth,
//   the one *.bin or *.pt that torch.save wrote.
//
// InvalidArgument, naming them, if there are several where one is expected:
// none is guessed. NotFound if there is nothing of the kind.
absl::StatusOr<std::string> ChooseCheckpoint(const std::string& path);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_CHECKPOINT_PATH_H_
