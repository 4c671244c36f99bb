// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SCHEDULE_SCHEDULER_H_
#define RWKVD_CORE_ENGINE_SCHEDULE_SCHEDULER_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace rwkvd {

// What a sequence could use of the next step.
struct StepDemand {
  // Tokens it could read; 0 if it waits for no forward pass.
  int64_t tokens = 0;
  // Reads the token it drew last, one a step.
  bool decoding = false;
  // Of these, how many need a row of logits: one at most, the last, or as many
  // as are to be scored. The others are read first.
  int64_t logits_rows = 1;
};

// Shares a step out among the running sequences.
//
// A pure decision: no lock, no clock, no memory of earlier steps. Owned by the
// engine's thread.
//
// Nobody starves: as long as there are fewer sequences than max_tokens and not
// more than max_logits_rows, every demand gets at least one token each step
// (unless reading rests, see Allocate), decoding sequences all they can use,
// and what is left is filled evenly into those that read: a short prompt is
// read at once beside a long one, and a long prompt gets all that the short
// ones leave.
class Scheduler {
 public:
  // Rows that one step may have in the network, and in the logits.
  Scheduler(int64_t max_tokens, int64_t max_logits_rows);

  // How many tokens of each demand are served, in its order; at most
  // max_tokens together, of which need logits at most max_logits_rows. Those
  // that do not decode get at most `max_read` together, or one each if that is
  // more; with 0 nothing. Valid until the next call.
  absl::Span<const int64_t> Allocate(absl::Span<const StepDemand> demands,
                                     int64_t max_read);

 private:
  // Fills `budget` evenly into `allocations_` of `readers_`, up to wanted_.
  void Fill(int64_t budget);

  const int64_t max_tokens_;
  const int64_t max_logits_rows_;
  std::vector<int64_t> allocations_;  // by demand
  std::vector<int64_t> wanted_;       // by demand: an upper bound on its share
  std::vector<int64_t> readers_;      // indices of demands
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SCHEDULE_SCHEDULER_H_
