// SPDX-License-Identifier: Apache-2.0
#include "service/load_progress.h"

#include <utility>

#include "absl/strings/str_format.h"

namespace rwkvd {
namespace {

constexpr absl::Duration kMinLogInterval = absl::Seconds(2);
constexpr absl::Duration kMaxLogInterval = absl::Seconds(20);

double Megabytes(int64_t bytes) { return static_cast<double>(bytes) / 1e6; }

}  // namespace

LoadProgress::LoadProgress(std::function<absl::Time()> clock,
                           std::function<void(absl::string_view)> log)
    : clock_(std::move(clock)), log_(std::move(log)) {
  Begin();
}

void LoadProgress::Begin(absl::string_view doing) {
  doing_ = std::string(doing);
  begin_ = logged_at_ = clock_();
  logged_tenths_ = 0;
}

void LoadProgress::Update(int64_t bytes_done, int64_t bytes_all) {
  const double ratio = bytes_all <= 0 ? 1
                                      : static_cast<double>(bytes_done) /
                                            static_cast<double>(bytes_all);
  ratio_.store(ratio, std::memory_order_relaxed);
  const absl::Time now = clock_();
  const auto tenths = static_cast<int64_t>(10 * ratio);
  if (!IsDue(tenths, now)) return;
  logged_tenths_ = tenths;
  logged_at_ = now;
  log_(absl::StrFormat(
      "%s: %d %%, %.0f of %.0f MB, %.0f MB/s", doing_,
      static_cast<int64_t>(100 * ratio), Megabytes(bytes_done),
      Megabytes(bytes_all),
      Megabytes(bytes_done) / absl::ToDoubleSeconds(now - begin_)));
}

bool LoadProgress::IsDue(int64_t tenths, absl::Time now) const {
  const absl::Duration since_last_log = now - logged_at_;
  if (since_last_log >= kMaxLogInterval) return true;
  return tenths > logged_tenths_ && since_last_log >= kMinLogInterval;
}

}  // namespace rwkvd
