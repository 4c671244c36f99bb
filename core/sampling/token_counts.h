// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_TOKEN_COUNTS_H_
#define RWKVD_CORE_SAMPLING_TOKEN_COUNTS_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"

namespace rwkvd {

// How often each token was seen among the last ones of a text, the older the
// less.
//
// Owned by one sequence; thread-compatible. A token takes constant time, and
// memory only when it is new.
class TokenCounts {
 public:
  struct Entry {
    int32_t id = 0;
    int32_t times = 0;  // within the window: 1 or more
    double count = 0;   // sum of weight * decay^age over these times
    double weight = 0;
    // The count when the token was last added or forgotten. It is worked out
    // from this each time, so that it does not depend on when it is asked for.
    double count_then = 0;
    int64_t step_then = 0;
  };

  // Of the last `window` tokens, or all of them for 0. Each further token
  // multiplies counts by `decay`, in [0, 1].
  TokenCounts(int64_t window, double decay);

  // Adds the next token. `weight` is what each time counts for: a function of
  // the id.
  void Add(int32_t id, double weight);

  bool empty() const { return entries_.empty(); }

  // Every token seen, with its count now, in an order that depends on the
  // tokens alone. Until the next Add.
  absl::Span<const Entry> Now();

 private:
  double Power(int64_t steps) const;
  void Settle(Entry* entry);
  void Forget(int32_t id);

  const int64_t window_;
  const double decay_;
  const double decay_of_window_;  // decay^window
  int64_t step_ = 0;              // tokens added
  std::vector<Entry> entries_;
  absl::flat_hash_map<int32_t, int32_t> places_;  // of ids in entries_
  std::vector<int32_t> last_;  // a ring of the window's tokens
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_TOKEN_COUNTS_H_
