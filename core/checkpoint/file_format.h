// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_FILE_FORMAT_H_
#define RWKVD_CORE_CHECKPOINT_FILE_FORMAT_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/mapped_file.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// The format of a file is recognized by its first bytes, not by its name.

// How the name of a shard index ends.
inline constexpr absl::string_view kIndexSuffix = ".index.json";

// Whether the file is a shard index: a JSON object, or a file whose name ends
// with kIndexSuffix.
bool IsShardIndex(const MappedFile& file);

// The format of a file of a checkpoint, for people: "safetensors", "PyTorch",
// "PyTorch (before 1.6)" or "GGUF".
absl::string_view FormatName(const MappedFile& file);

// The tensors of one safetensors or PyTorch file, with their names in the file,
// as views into it. Returns InvalidArgument if the file is damaged or in
// another format; the message names the format if it is known.
absl::StatusOr<std::vector<Tensor>> ParseTensors(const MappedFile& file);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_FILE_FORMAT_H_
