// SPDX-License-Identifier: Apache-2.0
//
// Reads the input as the adapter_config.json of a LoRA adapter.
#include <cmath>

#include "absl/status/statusor.h"
#include "core/base/check.h"
#include "core/checkpoint/adapter_config.h"
#include "tests/fuzz/fuzz_input.h"

namespace rwkvd {
namespace {

void CheckUse(const AdapterConfig& config, absl::string_view module) {
  const absl::StatusOr<AdapterConfig::Use> use = config.UseFor(module);
  if (!use.ok()) {
    RWKVD_CHECK(use.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  RWKVD_CHECK(use->rank >= 1 && use->rank <= kMaxAdapterRank);
  RWKVD_CHECK(std::isfinite(use->scale));
}

void Read(absl::string_view input) {
  const absl::StatusOr<AdapterConfig> config =
      ParseAdapterConfig(input, "adapter_config.json");
  if (!config.ok()) {
    RWKVD_CHECK(config.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  for (const char* module :
       {"rwkv7.blocks.0.att.receptance", "blocks.11.ffn.key", "emb", ""}) {
    CheckUse(*config, module);
  }
}

}  // namespace
}  // namespace rwkvd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rwkvd::Read(rwkvd::testing::AsText(data, size));
  return 0;
}
