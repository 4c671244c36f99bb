// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_CONFIG_H_
#define RWKVD_CORE_MODEL_CONFIG_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/checkpoint/tensor_file.h"

namespace rwkvd {

// RWKV-5 has three variants: 5.0 has no gate, 5.1 has one, and 5.2 has a decay
// for each channel instead of one for each head.
enum class Architecture { kRwkv4, kRwkv50, kRwkv51, kRwkv52, kRwkv6, kRwkv7 };

// "rwkv4", "rwkv5.0", "rwkv5.1", "rwkv5.2", "rwkv6", "rwkv7"
absl::string_view NameOf(Architecture architecture);

// The sizes of a model, deduced from the names and shapes of its tensors. A
// value.
struct ModelConfig {
  Architecture architecture = Architecture::kRwkv4;
  int64_t num_layers = 0;
  int64_t embedding_size = 0;  // width of the residual stream
  int64_t attention_size = 0;  // width of time mixing
  int64_t num_heads = 0;       // of time mixing; 0 for version 4
  int64_t head_size = 0;       // attention_size / num_heads; 0 for version 4
  int64_t ffn_size = 0;        // hidden units of channel mixing
  int64_t vocab_size = 0;      // rows of the embedding and of the head
  // Whether the embedding is normalized (blocks.0.ln0), as in every released
  // model.
  bool has_embedding_norm = true;
  int64_t num_parameters = 0;
  // The type of the matrices: "F32", "F16" or "BF16"; "int8", "int8,mixed",
  // "int4" or "int4,mixed", where some matrices keep 16 or 32 bits; the block
  // type of most weights, such as "Q4_K"; or "mixed".
  std::string weight_type;
};

// InvalidArgument if `file` is not a checkpoint of a supported model. The
// message says which variant it seems to be, or which tensor is wrong. Whether
// all tensors agree about the sizes is checked later, by WeightReader.
absl::StatusOr<ModelConfig> DeduceConfig(const TensorFile& file);

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_CONFIG_H_
