// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPTIONS_TELEMETRY_OPTIONS_H_
#define RWKVD_SERVICE_OPTIONS_TELEMETRY_OPTIONS_H_

#include <string>

#include "absl/status/status.h"
#include "service/log.h"

namespace rwkvd {

// What the server reports of itself and of its calls. A value.
struct TelemetryOptions {
  std::string log_level = "info";
  LogFormat log_format = LogFormat::kText;
  bool access_log = false;
  std::string otlp_endpoint;  // empty: no spans are exported
};

// Sets all fields to the values of their flags. InvalidArgument with the flag,
// its value and the values that are allowed.
absl::Status ReadTelemetryFlags(TelemetryOptions* options);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPTIONS_TELEMETRY_OPTIONS_H_
