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

// The tensors of one file, in the order in which they lie in it.
using Shard = std::vector<SafetensorsWriter::Entry>;

// A checkpoint's tensors: the embedding first, then layer by layer, those of a
// layer by their names.
std::vector<const Tensor*> InOrderOfUse(const TensorFile& source);

// Spreads a checkpoint's tensors over files of at most `max_bytes` of tensors
// each, or of one tensor that is larger, in order of use. In a file, those
// whose size is a multiple of 64 bytes come first, then those of larger
// elements, so that every tensor is aligned to its elements and matrices to
// cache lines.
//
// A quantized matrix comes as its quants, and its scales in the same file;
// directly behind them, unless their size is no multiple of 64 bytes.
std::vector<Shard> PlanShards(const TensorFile& source, const Target& target,
                              int64_t max_bytes);

// Of the tensors alone.
int64_t TotalBytes(absl::Span<const Shard> shards);

inline constexpr char kSingleFile[] = "model.safetensors";
inline constexpr char kIndexFile[] = "model.safetensors.index.json";

// What the files are called: model.safetensors if there is one, else
// STEM-00001-of-0000N.safetensors and so on.
std::vector<std::string> ShardNames(absl::string_view stem, size_t num);

// Whether a file is called as one of the above, or as an index of them.
bool IsOutputName(absl::string_view name);

// The index of shards, as Hugging Face writes it.
std::string IndexText(absl::Span<const Shard> shards,
                      absl::Span<const std::string> names);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_SHARD_PLAN_H_
