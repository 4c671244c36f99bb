// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_AUTH_TOKEN_BUCKET_H_
#define RWKVD_SERVICE_AUTH_TOKEN_BUCKET_H_

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"
#include "service/auth/identity.h"

namespace rwkvd {

// Limits a rate: it holds at most what flows in during a minute, and is full at
// first. More may be taken out than is in it, if it was not known in advance;
// the debt is paid by what flows in. Times are of MonotonicNow, and never go
// back; an earlier one counts as the latest.
//
// Thread-compatible.
class TokenBucket {
 public:
  // Changes the rate. What is in the bucket, or is owed, stays.
  void SetRate(int64_t per_minute, absl::Time now) {
    if (per_minute == per_minute_) return;
    Fill(now);
    if (per_minute_ == kNoLimit) {
      level_ = kCapacity;
    } else if (per_minute != kNoLimit) {
      level_ = std::min(level_ * per_minute_ / per_minute, kCapacity);
    }
    per_minute_ = per_minute;
  }

  // How long to wait until `amount` can be taken: 0 if it can be now. More than
  // the bucket holds can be taken once it is full.
  absl::Duration WaitFor(int64_t amount, absl::Time now) {
    if (per_minute_ == kNoLimit) return absl::ZeroDuration();
    Fill(now);
    return std::max(std::min(TimeOf(amount), kCapacity) - level_,
                    absl::ZeroDuration());
  }

  void Take(int64_t amount, absl::Time now) {
    if (per_minute_ == kNoLimit) return;
    Fill(now);
    level_ -= TimeOf(amount);
  }

  // Undoes Take.
  void Return(int64_t amount, absl::Time now) {
    if (per_minute_ == kNoLimit) return;
    Fill(now);
    level_ = std::min(level_ + TimeOf(amount), kCapacity);
  }

  // The most that can be taken before the debt exceeds what flows in during a
  // minute; 0 if it does already, kNoLimit without a rate.
  int64_t LeftUntilMaxDebt(absl::Time now) {
    if (per_minute_ == kNoLimit) return kNoLimit;
    Fill(now);
    const absl::Duration left =
        std::max(level_ + kCapacity, absl::ZeroDuration());
    absl::Duration rest;
    return absl::IDivDuration(left * per_minute_, absl::Minutes(1), &rest);
  }

 private:
  static constexpr absl::Duration kCapacity = absl::Minutes(1);

  // How long it takes until this amount has flowed in.
  absl::Duration TimeOf(int64_t amount) const {
    return absl::Minutes(1) * amount / per_minute_;
  }

  void Fill(absl::Time now) {
    if (now <= filled_at_) return;
    level_ = std::min(level_ + (now - filled_at_), kCapacity);
    filled_at_ = now;
  }

  int64_t per_minute_ = kNoLimit;
  absl::Duration level_;  // the time in which the content flows in; < 0: a debt
  absl::Time filled_at_ = absl::InfinitePast();
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_AUTH_TOKEN_BUCKET_H_
