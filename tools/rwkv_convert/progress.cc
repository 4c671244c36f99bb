// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/progress.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/rwkv_convert/byte_size.h"

namespace rwkvd {
namespace {

constexpr absl::Duration kBarPeriod = absl::Milliseconds(100);
constexpr absl::Duration kLinePeriod = absl::Seconds(5);
constexpr int64_t kBarCells = 30;
constexpr char kClearLine[] = "\r\x1b[K";

// Bytes per second; 0 if no time has passed.
double Speed(int64_t done, absl::Duration time) {
  const double seconds = absl::ToDoubleSeconds(time);
  return seconds > 0 ? done / seconds : 0;
}

// "1:02:03" or "2:03".
std::string Clock(int64_t seconds) {
  if (seconds < 3600) {
    return absl::StrFormat("%d:%02d", seconds / 60, seconds % 60);
  }
  return absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60,
                         seconds % 60);
}

}  // namespace

std::string Progress::Update(absl::string_view doing, int64_t done, int64_t all,
                             absl::Time now) {
  const bool is_new = doing != doing_;
  if (is_new) {
    doing_ = std::string(doing);
    begun_ = shown_at_ = now;
    shown_done_ = 0;
  }
  if (is_terminal_) {
    if (!is_new && done < all && now - shown_at_ < kBarPeriod) return "";
    has_bar_ = true;
  } else if (now - shown_at_ < kLinePeriod || (done - shown_done_) < all / 10) {
    return "";
  }
  shown_at_ = now;
  shown_done_ = done;
  return is_terminal_ ? Bar(done, all, now) : Line(done, all, now);
}

std::string Progress::End() {
  if (!has_bar_) return "";
  has_bar_ = false;
  return kClearLine;
}

std::string Progress::Bar(int64_t done, int64_t all, absl::Time now) const {
  const double part = all > 0 ? static_cast<double>(done) / all : 1;
  const int64_t cells = static_cast<int64_t>(part * kBarCells);
  std::string text = absl::StrFormat(
      "%s%-9s [%s%s] %3d %%", kClearLine, doing_, std::string(cells, '#'),
      std::string(kBarCells - cells, '.'), static_cast<int64_t>(part * 100));
  const double speed = Speed(done, now - begun_);
  if (speed > 0) {
    absl::StrAppendFormat(&text, "  %s/s  ETA %s",
                          ShortBytes(static_cast<int64_t>(speed)),
                          Clock(static_cast<int64_t>((all - done) / speed)));
  }
  return text;
}

std::string Progress::Line(int64_t done, int64_t all, absl::Time now) const {
  return absl::StrFormat(
      "%s: %s of %s, %d %%, %s/s\n", doing_, ShortBytes(done), ShortBytes(all),
      all > 0 ? static_cast<int64_t>(100.0 * done / all) : 100,
      ShortBytes(static_cast<int64_t>(Speed(done, now - begun_))));
}

}  // namespace rwkvd
