// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_COMPANIONS_H_
#define RWKVD_TOOLS_RWKV_CONVERT_COMPANIONS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/checkpoint/tensor_file.h"

namespace rwkvd {

// The files that a server needs in addition to the weights. A value.
struct Companions {
  std::vector<std::string> names;
  // The model needs a tokenizer, but there is none.
  bool lacks_tokenizer = false;
};

// Writes the tokenizer and the chat template of a model into `directory`: those
// that its file contains, or else those next to it. For a model that applies no
// LayerNorm to its stored embedding, also writes a config.json that says so;
// all else that it can say is in the native tensors. generation_config.json is
// left out, since rwkvd does not read it.
absl::StatusOr<Companions> WriteCompanions(const TensorFile& source,
                                           const std::string& directory);

// Copy the files of the tokenizer, and those that may contain the chat
// template, from one folder to another, and return their names.
absl::StatusOr<std::vector<std::string>> CopyTokenizers(const std::string& from,
                                                        const std::string& to);
absl::StatusOr<std::vector<std::string>> CopyChatTemplates(
    const std::string& from, const std::string& to);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_COMPANIONS_H_
