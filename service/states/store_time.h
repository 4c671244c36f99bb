// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_STORE_TIME_H_
#define RWKVD_SERVICE_STATES_STORE_TIME_H_

#include "absl/time/time.h"

namespace rwkvd {

// A moment on two clocks. Handles carry the time of the system clock, which
// means the same on every machine, but which can be wrong and can be set at any
// time. Therefore a store waits for a state to expire by the other clock. A
// value.
struct StoreTime {
  absl::Time system;
  absl::Duration since_boot;  // never set; includes the time of a suspend

  static StoreTime Now();
};

// The same moment, later by `duration`.
inline StoreTime operator+(StoreTime time, absl::Duration duration) {
  return {time.system + duration, time.since_boot + duration};
}

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_STORE_TIME_H_
