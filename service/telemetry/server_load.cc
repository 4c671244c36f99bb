// SPDX-License-Identifier: Apache-2.0
#include "service/telemetry/server_load.h"

#include "core/base/monotonic_clock.h"

namespace rwkvd {

ServerLoad LoadOf(const ServedModel& model) {
  ServerLoad load;
  load.engine = model.engine->Load(MonotonicNow());
  const auto state_bytes =
      static_cast<int64_t>(model.engine->initial_states()[0].state.bytes());
  load.running_state_bytes = load.engine.running * state_bytes;
  load.cached_state_bytes = load.engine.state_cache_bytes;
  load.cached_state_limit = model.engine->options().state_cache_bytes +
                            model.engine->options().max_pinned_bytes;
  load.stored_state_bytes = model.states->store().figures().bytes;
  load.stored_state_limit = model.options.state_store_bytes;
  return load;
}

}  // namespace rwkvd
