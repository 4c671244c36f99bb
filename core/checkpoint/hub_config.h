// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_HUB_CONFIG_H_
#define RWKVD_CORE_CHECKPOINT_HUB_CONFIG_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// What config.json, which the Hugging Face libraries write beside the weights,
// says that the weights alone do not. A value.
//
// The numbers are for messages and cross-checks only: sizes are read from the
// tensors. 0 or empty: config.json is absent or does not say.
struct HubConfig {
  std::string model_type;  // "rwkv", "rwkv5", "rwkv6", "rwkv7", ...
  int64_t hidden_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t vocab_size = 0;
  // The head's matrix is the embedding's, and may not be stored again.
  bool tie_word_embeddings = false;
  // A LayerNorm (native blocks.0.ln0) follows the embedding.
  bool norm_first = true;
};

// Reads the text of a config.json; fields other than the above, and those that
// are null, do not matter. InvalidArgument, naming `path` and the field, if it
// is malformed or one of the above has the wrong type.
absl::StatusOr<HubConfig> ParseHubConfig(absl::string_view text,
                                         absl::string_view path);

// Reads config.json in `directory`; the defaults if there is none.
absl::StatusOr<HubConfig> FindHubConfig(const std::string& directory);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_HUB_CONFIG_H_
