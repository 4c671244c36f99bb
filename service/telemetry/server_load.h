// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_TELEMETRY_SERVER_LOAD_H_
#define RWKVD_SERVICE_TELEMETRY_SERVER_LOAD_H_

#include <cstdint>

#include "core/engine/engine_load.h"
#include "service/served_model.h"

namespace rwkvd {

// How busy a server is: GetLoad, load reports and metrics say the same. A
// value; memory in bytes.
struct ServerLoad {
  EngineLoad engine;
  int64_t running_state_bytes = 0;
  int64_t cached_state_bytes = 0;
  int64_t cached_state_limit = 0;
  int64_t stored_state_bytes = 0;
  int64_t stored_state_limit = 0;
};

// The load at this moment. Fast: it neither waits nor allocates much.
ServerLoad LoadOf(const ServedModel& model);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_TELEMETRY_SERVER_LOAD_H_
