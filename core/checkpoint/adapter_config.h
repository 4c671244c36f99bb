// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_ADAPTER_CONFIG_H_
#define RWKVD_CORE_CHECKPOINT_ADAPTER_CONFIG_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/checkpoint/module_patterns.h"

namespace rwkvd {

// The largest rank of an adapter.
inline constexpr int64_t kMaxAdapterRank = 1 << 16;

// What adapter_config.json, which PEFT writes next to a LoRA adapter, says
// about its use. A value.
struct AdapterConfig {
  // How a low-rank matrix is used: W + scale B A.
  struct Use {
    int64_t rank = 0;  // the rows of A and the columns of B
    double scale = 0;  // alpha / rank, or alpha / sqrt(rank) of rsLoRA
  };

  int64_t rank = 0;
  double alpha = 0;
  bool is_rank_stabilized = false;  // rsLoRA
  // The rows of the sum are scaled to stored magnitudes (DoRA).
  bool has_magnitudes = false;
  // Exceptions for some modules.
  ModulePatterns rank_pattern;
  ModulePatterns alpha_pattern;

  // The use for a module, such as "rwkv7.blocks.0.att.key". InvalidArgument if
  // a pattern is too complex.
  absl::StatusOr<Use> UseFor(absl::string_view module) const;
};

// Parses the text of an adapter_config.json. InvalidArgument, with `path` and
// the field, if the text is malformed, if the adapter is not a LoRA adapter, or
// if it has a property that a merged matrix cannot express, or that changes the
// base model, as PiSSA does. Ignores fields that concern training only.
absl::StatusOr<AdapterConfig> ParseAdapterConfig(absl::string_view text,
                                                 absl::string_view path);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_ADAPTER_CONFIG_H_
