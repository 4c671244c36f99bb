// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_PROGRESS_H_
#define RWKVD_TOOLS_RWKV_CONVERT_PROGRESS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace rwkvd {

// What to show of work that takes a while: on a terminal a bar that is drawn
// again at most ten times a second, elsewhere lines, of which one comes after
// at least a tenth of the work and five seconds.
//
// Makes text; knows no clock and writes nothing. Used by one thread.
class Progress {
 public:
  explicit Progress(bool is_terminal) : is_terminal_(is_terminal) {}

  // What to write now that `done` of `all` bytes of the work called `doing`
  // are done; "" as a rule. A new name begins new work.
  std::string Update(absl::string_view doing, int64_t done, int64_t all,
                     absl::Time now);

  // What to write before anything else is: removes the bar.
  std::string End();

 private:
  std::string Bar(int64_t done, int64_t all, absl::Time now) const;
  std::string Line(int64_t done, int64_t all, absl::Time now) const;

  const bool is_terminal_;
  std::string doing_;
  absl::Time begun_;
  absl::Time shown_at_;
  int64_t shown_done_ = 0;
  bool has_bar_ = false;
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_PROGRESS_H_
