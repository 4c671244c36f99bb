// SPDX-License-Identifier: Apache-2.0
#include "service/health/readiness.h"

#include <cstddef>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/log.h"

namespace rwkvd {

Readiness::Readiness(std::vector<ReadinessCondition> conditions,
                     absl::Duration interval,
                     std::function<void(bool ready)> on_change)
    : conditions_(std::move(conditions)),
      interval_(interval),
      on_change_(std::move(on_change)),
      errors_(conditions_.size()),
      thread_([this] { Run(); }) {}

Readiness::~Readiness() {
  stop_.Notify();
  thread_.join();
}

void Readiness::Run() {
  std::optional<bool> reported;
  do {
    const bool ready = CheckAll();
    if (reported != ready) on_change_(ready);
    reported = ready;
  } while (!stop_.WaitFor(interval_));
}

bool Readiness::CheckAll() {
  bool ready = true;
  for (size_t i = 0; i < conditions_.size(); ++i) {
    const absl::Status status = conditions_[i].check();
    if (status != errors_[i]) {
      if (status.ok()) {
        LogInfo(absl::StrCat("ready again: ", conditions_[i].name));
      } else {
        LogWarning(absl::StrCat("not ready: ", conditions_[i].name, ": ",
                                status.message()));
      }
      errors_[i] = status;
    }
    ready &= status.ok();
  }
  return ready;
}

}  // namespace rwkvd
