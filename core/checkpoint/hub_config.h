// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_HUB_CONFIG_H_
#define RWKVD_CORE_CHECKPOINT_HUB_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// Fields of config.json, which the Hugging Face libraries write next to the
// weights, that the weights alone do not determine. A value.
//
// The numbers are for messages and cross-checks only: sizes are taken from the
// tensors. A number of 0 or an empty string means that the field is absent.
struct HubConfig {
  std::string model_type;  // "rwkv", "rwkv5", "rwkv6", "rwkv7", ...
  int64_t hidden_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t vocab_size = 0;
  // Whether the head uses the embedding's matrix, which then may be stored only
  // once.
  bool tie_word_embeddings = false;
  // Whether a LayerNorm (native name blocks.0.ln0) follows the embedding, in
  // flash-linear-attention.
  bool norm_first = true;
  // Whether that LayerNorm has already been applied to the stored embedding, in
  // classes for RWKV-7 in transformers; empty if neither
  // embedding_layer_norm_fused nor deep_embedding says so.
  std::optional<bool> embedding_norm_is_fused;
  // What quantized the weights: quantization_config.quant_method, such as
  // "compressed-tensors"; "?" if that does not say so.
  std::string quant_method;
};

// Parses the text of a config.json. Ignores other fields, and fields that are
// null. Returns InvalidArgument, with `path` and the field in the message, if
// the text is malformed or a field has the wrong type.
absl::StatusOr<HubConfig> ParseHubConfig(absl::string_view text,
                                         absl::string_view path);

// Reads config.json in `directory`. Returns the defaults if there is no such
// file.
absl::StatusOr<HubConfig> FindHubConfig(const std::string& directory);

// InvalidArgument, with `path` in the message, if config.json says that the
// weights are quantized.
absl::Status CheckNotQuantized(const HubConfig& config, absl::string_view path);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_HUB_CONFIG_H_
