// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_ADAPTER_FILES_H_
#define RWKVD_CORE_CHECKPOINT_ADAPTER_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace rwkvd {

// The configuration that PEFT writes next to the weights of an adapter.
inline constexpr char kAdapterConfigFile[] = "adapter_config.json";

// The paths of an adapter: the file of weights, and that of the configuration,
// empty if there is none. A value.
struct AdapterFiles {
  std::string weights;
  std::string config;
};

// Finds the files of the adapter at `path`, a folder or a file of weights.
// InvalidArgument if a folder lacks one of them.
absl::StatusOr<AdapterFiles> FindAdapterFiles(const std::string& path);

// InvalidArgument if the files next to `weights` show an adapter of PiSSA,
// which looks like one of LoRA.
absl::Status CheckNotPissa(const std::string& weights);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_ADAPTER_FILES_H_
