// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SCHEDULE_EVEN_SHARING_H_
#define RWKVD_CORE_ENGINE_SCHEDULE_EVEN_SHARING_H_

#include <cstddef>
#include <cstdint>
#include <map>

#include "absl/types/span.h"
#include "core/engine/schedule/step_demand.h"

namespace rwkvd {

// A simulation of even sharing: how much of each prompt would be left if every
// step had divided its rows evenly among the prompts of a flow. With it the
// scheduler knows which sequences decode earlier than with even sharing.
//
// It gets the rows that the prompts of a flow really get, and divides them
// evenly among the prompts that it has not completed. So unless prompts are
// cancelled, it has as many tokens left as the prompts of the flow really have,
// and completes the last of them in the same step.
//
// Owned by Scheduler; engine thread only. Has no clock.
class EvenSharing {
 public:
  // The prompts that it remembers at most, in addition to those that sequences
  // prefill. Beyond, it forgets those that were submitted first.
  static constexpr size_t kMaxCompletePrompts = 4096;

  // Adds the prompts that are new in `demands`, forgets those that are not
  // complete but have ended, and, in flows that have no other prompts, those
  // that are complete.
  void BeginStep(absl::Span<const StepDemand> demands);

  // Divides the rows of the step, which are `allocations` by demand.
  void EndStep(absl::Span<const StepDemand> demands,
               absl::Span<const int64_t> allocations);

  // The tokens of `prompt` that even sharing would not have processed yet. 0 if
  // the prompt would be complete or is not known.
  int64_t Left(uint64_t prompt) const;

 private:
  struct Prompt {
    const void* flow = nullptr;
    int64_t remaining = 0;  // tokens that are really left
    int64_t left = 0;       // tokens that even sharing has left
    uint64_t last_step = 0;
  };

  // Forgets prompts that are complete or not needed any more.
  void Forget();
  void Divide(const void* flow, int64_t rows);

  std::map<uint64_t, Prompt> prompts_;  // by StepDemand::prompt
  uint64_t step_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SCHEDULE_EVEN_SHARING_H_
