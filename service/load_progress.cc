// SPDX-License-Identifier: Apache-2.0
#include "service/load_progress.h"

#include <utility>

#include "absl/strings/str_format.h"

namespace rwkvd {
namespace {

constexpr absl::Duration kShortestSilence = absl::Seconds(2);
constexpr absl::Duration kLongestSilence = absl::Seconds(20);

double Megabytes(int64_t bytes) { return static_cast<double>(bytes) / 1e6; }

}  // namespace

LoadProgress::LoadProgress(std::function<absl::Time()> clock,
                           std::function<void(absl::string_view)> log)
    : clock_(std::move(clock)), log_(std::move(log)) {
  Begin();
}

void LoadProgress::Begin() {
  begin_ = told_at_ = clock_();
  told_tenths_ = 0;
}

void LoadProgress::Update(int64_t bytes_done, int64_t bytes_all) {
  const double ratio = bytes_all <= 0 ? 1
                                      : static_cast<double>(bytes_done) /
                                            static_cast<double>(bytes_all);
  ratio_.store(ratio, std::memory_order_relaxed);
  const absl::Time now = clock_();
  const auto tenths = static_cast<int64_t>(10 * ratio);
  if (!IsDue(tenths, now)) return;
  told_tenths_ = tenths;
  told_at_ = now;
  log_(absl::StrFormat(
      "reading the model: %d %%, %.0f of %.0f MB, %.0f MB/s",
      static_cast<int64_t>(100 * ratio), Megabytes(bytes_done),
      Megabytes(bytes_all),
      Megabytes(bytes_done) / absl::ToDoubleSeconds(now - begin_)));
}

bool LoadProgress::IsDue(int64_t tenths, absl::Time now) const {
  const absl::Duration silence = now - told_at_;
  if (silence >= kLongestSilence) return true;
  return tenths > told_tenths_ && silence >= kShortestSilence;
}

}  // namespace rwkvd
