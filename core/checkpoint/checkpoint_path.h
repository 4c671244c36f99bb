// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_CHECKPOINT_PATH_H_
#define RWKVD_CORE_CHECKPOINT_CHECKPOINT_PATH_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace rwkvd {

// The files of a checkpoint that a path leads to. A value.
struct CheckpointPath {
  // The file to open: the weights, an index of shards, or the first part of a
  // split GGUF file. If `shards` is not empty, the directory that holds them.
  std::string path;
  // The paths of shards that no index lists, in the order of their numbers.
  std::vector<std::string> shards;
};

// Finds the checkpoint for `path`: `path` itself, unless it is a directory. In
// a directory, the first of these files that exists; hidden files, such as the
// ._* files of macOS, do not count:
//
//   model.safetensors, model.safetensors.index.json,
//   pytorch_model.bin, pytorch_model.bin.index.json,
//   the only *.index.json,
//   the only *.safetensors or *.st,
//   the only *.pth,
//   the only *.bin or *.pt that torch.save wrote,
//   the only *.gguf, or the first part of the only split one.
//
// Shards NAME-i-of-n.EXTENSION count as one file if all n are there. In a
// repository's directory in the cache of the Hugging Face hub (models--*--*),
// `path` stands for the snapshot of refs/main, or for the only snapshot.
//
// Returns InvalidArgument with the names of the files if there are several
// where only one is expected, or a model.safetensors (or pytorch_model.bin)
// next to its index and to shards; if shards are missing, if `path` is one of
// several shards, or if a download has not finished; NotFound if there is no
// such file, with the models if `path` is the cache of the hub itself.
absl::StatusOr<CheckpointPath> ChooseCheckpoint(const std::string& path);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_CHECKPOINT_PATH_H_
