// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_COMPANIONS_H_
#define RWKVD_TOOLS_RWKV_CONVERT_COMPANIONS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace rwkvd {

// Copies the files that a server needs in addition to the weights, those of the
// tokenizer, from one folder to another, and returns their names. config.json
// is not copied: the native tensors contain all that it can say about a model,
// except for kFusedNormConfig.
absl::StatusOr<std::vector<std::string>> CopyCompanions(const std::string& from,
                                                        const std::string& to);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_COMPANIONS_H_
