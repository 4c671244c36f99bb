// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPTIONS_PROCESS_OPTIONS_H_
#define RWKVD_SERVICE_OPTIONS_PROCESS_OPTIONS_H_

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace rwkvd {

// How the process ends. A value.
struct ProcessOptions {
  absl::Duration drain_grace = absl::Seconds(20);
  absl::Duration lame_duck = absl::ZeroDuration();
};

// Sets all fields to the values of their flags. InvalidArgument with the flag,
// its value and the values that are allowed.
absl::Status ReadProcessFlags(ProcessOptions* options);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPTIONS_PROCESS_OPTIONS_H_
