// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_COMPANIONS_H_
#define RWKVD_TOOLS_RWKV_CONVERT_COMPANIONS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace rwkvd {

// Copies what a server needs beside the weights, the tokenizer's files, from
// one folder to another; returns their names. (config.json is not needed: all
// it may say about a network is in the tensors' native form.)
absl::StatusOr<std::vector<std::string>> CopyCompanions(const std::string& from,
                                                        const std::string& to);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_COMPANIONS_H_
