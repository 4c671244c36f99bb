// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPTIONS_COMPUTE_OPTIONS_H_
#define RWKVD_SERVICE_OPTIONS_COMPUTE_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "core/engine/engine_options.h"

namespace rwkvd {

// How requests are computed: the processor, and the limits of the engine. A
// value.
struct ComputeOptions {
  int32_t threads = 0;  // 0: as many CPUs as the process may use
  std::string isa = "auto";
  EngineOptions engine;
  // ScoreDocument calls that may be open at the same time. No flag sets it.
  int32_t max_documents = 64;
};

// Sets all fields that have flags to the values of these. InvalidArgument with
// the flag, its value and the values that are allowed.
absl::Status ReadComputeFlags(ComputeOptions* options);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPTIONS_COMPUTE_OPTIONS_H_
