// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_HEALTH_READINESS_H_
#define RWKVD_SERVICE_HEALTH_READINESS_H_

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/base/event.h"

namespace rwkvd {

// A named condition of serving, such as "model files". The check may wait for a
// disk. An error says why the server cannot serve.
struct ReadinessCondition {
  std::string name;
  std::function<absl::Status()> check;
};

// Checks conditions at once and then at an interval, on a thread of its own.
// The server is ready while all of them hold. A condition that has failed is
// checked further, since its cause may be temporary. Each change of a condition
// is logged.
//
// Owned by the server. Thread-safe.
class Readiness {
 public:
  // Calls `on_change` on its thread: with the result of the first check, and
  // whenever the result changes.
  Readiness(std::vector<ReadinessCondition> conditions, absl::Duration interval,
            std::function<void(bool ready)> on_change);
  // Waits for a check that is under way.
  ~Readiness();
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;

 private:
  void Run();
  // Whether all conditions hold.
  bool CheckAll();

  const std::vector<ReadinessCondition> conditions_;
  const absl::Duration interval_;
  const std::function<void(bool)> on_change_;
  // The errors of the last check, by condition. Used by the thread only.
  std::vector<absl::Status> errors_;
  Event stop_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_HEALTH_READINESS_H_
