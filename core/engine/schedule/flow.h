// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SCHEDULE_FLOW_H_
#define RWKVD_CORE_ENGINE_SCHEDULE_FLOW_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <string>

namespace rwkvd {

class ByteBudget;  // core/base/byte_budget.h

// The flow of a request: flows share slots, queue and steps by their weights,
// however many requests each of them has. All requests of the flow with the
// empty name are served in the order of their arrival, without the limits of
// other flows. A value; requests of one flow have equal ones.
struct Flow {
  std::string name;  // opaque
  int32_t weight = 1;
  int64_t max_running = std::numeric_limits<int64_t>::max();  // samples
  int64_t max_queued = std::numeric_limits<int64_t>::max();   // further samples
};

// What the requests of one flow use at present.
//
// Shared by the engine and the sequences of the flow. `num_running` is for the
// engine's thread only; the engine's lock protects the others.
struct FlowUse {
  int64_t num_running = 0;  // samples that occupy a slot
  int64_t num_live = 0;     // samples that are reserved, wait or run
  int64_t live_tokens = 0;  // of these
  // Their part of the memory of all requests. Thread-safe.
  std::shared_ptr<ByteBudget> bytes;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SCHEDULE_FLOW_H_
