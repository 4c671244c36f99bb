// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPTIONS_ADAPTER_OPTIONS_H_
#define RWKVD_SERVICE_OPTIONS_ADAPTER_OPTIONS_H_

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "core/checkpoint/adapter.h"

namespace rwkvd {

// The LoRA adapters that are merged into the weights. A value.
struct AdapterOptions {
  std::vector<AdapterPath> adapters;    // in the order of merging
  std::optional<double> adapter_alpha;  // of adapters that do not contain it
};

// Sets all fields to the values of their flags. InvalidArgument with the flag,
// its value and the values that are allowed.
absl::Status ReadAdapterFlags(AdapterOptions* options);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPTIONS_ADAPTER_OPTIONS_H_
