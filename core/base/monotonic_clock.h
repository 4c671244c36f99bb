// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_MONOTONIC_CLOCK_H_
#define RWKVD_CORE_BASE_MONOTONIC_CLOCK_H_

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"

namespace rwkvd {

// The time of a clock that advances steadily: it does not change when an
// administrator or a time service sets the clock of the system. Deadlines,
// queue times, grace periods and all measured durations use it. absl::Now() is
// only for times that leave the process or that outlive it.
//
// The first call returns the system's time, so that a value is readable in a
// debugger. After that, only differences between values have a meaning.
// Thread-safe.
absl::Time MonotonicNow();

// Waits until `condition` returns true or `time` has passed, by the clock of
// MonotonicNow. Returns whether the condition is true. Asks every few
// milliseconds, for waits whose timing matters little: timed waits of
// absl::Mutex last longer if the clock of the system is set back meanwhile.
bool PollUntil(absl::FunctionRef<bool()> condition, absl::Duration time);

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_MONOTONIC_CLOCK_H_
