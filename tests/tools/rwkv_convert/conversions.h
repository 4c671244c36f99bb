// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TOOLS_RWKV_CONVERT_CONVERSIONS_H_
#define RWKVD_TESTS_TOOLS_RWKV_CONVERT_CONVERSIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/quantize/weight_kind.h"
#include "tools/rwkv_convert/convert_checkpoint.h"

namespace rwkvd::testing {

// ConvertCheckpoint without a report of its progress.
absl::StatusOr<Converted> RunConversion(const ConvertOptions& options);

// The logits after each of the tokens, of the model at `path`, whose matrices
// are stored as `kind` says. Empty, after a failed expectation, if the model
// cannot be loaded.
std::vector<float> LogitsOf(const std::string& path,
                            const std::vector<int32_t>& tokens,
                            WeightKind kind = WeightKind::kAsStored);

// The names of the files in a directory, in alphabetical order.
std::vector<std::string> FilesIn(const std::string& directory);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TOOLS_RWKV_CONVERT_CONVERSIONS_H_
