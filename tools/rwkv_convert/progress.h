// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_PROGRESS_H_
#define RWKVD_TOOLS_RWKV_CONVERT_PROGRESS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace rwkvd {

// The progress display of a long task: on a terminal, a bar that is redrawn at
// most ten times per second; otherwise, lines, each after at least a tenth of
// the work and five seconds.
//
// Returns text to write; uses no clock and writes nothing. Used by one thread.
class Progress {
 public:
  explicit Progress(bool is_terminal) : is_terminal_(is_terminal) {}

  // Returns the text to write when `done` of `all` bytes of the task `doing`
  // are done; usually "". A new name starts a new task.
  std::string Update(absl::string_view doing, int64_t done, int64_t all,
                     absl::Time now);

  // Returns the text that removes the bar. To be written before any other
  // output.
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
