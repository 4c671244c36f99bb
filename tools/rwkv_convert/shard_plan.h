// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_SHARD_PLAN_H_
#define RWKVD_TOOLS_RWKV_CONVERT_SHARD_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/checkpoint/safetensors_writer.h"
#include "core/checkpoint/tensor_file.h"
#include "tools/rwkv_convert/conversion.h"

namespace rwkvd {

// The tensors of one file, in their order in the file.
using Shard = std::vector<SafetensorsWriter::Entry>;

// The tensors of a checkpoint: first the embedding, then layer by layer, sorted
// by name within a layer.
std::vector<const Tensor*> InOrderOfUse(const TensorFile& source);

// Distributes the tensors of a checkpoint, in order of use, over files of at
// most `max_bytes` of tensors each; a larger tensor gets a file of its own.
// Within a file, tensors whose size is a multiple of 64 bytes come first, then
// those with larger elements, so that every tensor is aligned to its elements
// and matrices are aligned to cache lines.
//
// A quantized matrix becomes two tensors in the same file, its quants and its
// scales. The scales follow the quants directly, unless their size is not a
// multiple of 64 bytes.
std::vector<Shard> PlanShards(const TensorFile& source, const Target& target,
                              int64_t max_bytes);

// The size of all tensors, without headers.
int64_t TotalBytes(absl::Span<const Shard> shards);

inline constexpr char kSingleFile[] = "model.safetensors";
inline constexpr char kIndexFile[] = "model.safetensors.index.json";

// The names of `num` files: model.safetensors if there is one, otherwise
// STEM-00001-of-0000N.safetensors and so on.
std::vector<std::string> ShardNames(absl::string_view stem, size_t num);

// Whether `name` is one of these names, or that of an index.
bool IsOutputName(absl::string_view name);

// The index of the shards, in the format of Hugging Face.
std::string IndexText(absl::Span<const Shard> shards,
                      absl::Span<const std::string> names);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_SHARD_PLAN_H_
