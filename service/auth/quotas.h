// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_AUTH_QUOTAS_H_
#define RWKVD_SERVICE_AUTH_QUOTAS_H_

#include <cstdint>
#include <limits>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace rwkvd {

inline constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

inline constexpr int64_t kMaxWeight = 100;
// The highest number of a quota, in its unit.
inline constexpr int64_t kMaxQuota = 1'000'000'000'000;

// A limit on memory that calls share: a number of bytes, or a part of what all
// calls have. A value.
struct ByteQuota {
  int64_t bytes = kNoLimit;
  int32_t percent = 0;  // 0: no such part

  bool is_given() const { return bytes != kNoLimit || percent > 0; }
  // The limit if all calls have `all` bytes.
  int64_t Of(int64_t all) const;
};

// The limits of one identity. A value.
struct Quotas {
  int64_t max_running = kNoLimit;  // samples that run at the same time
  int64_t max_queued = kNoLimit;   // further samples that wait
  int64_t prompt_tokens_per_minute = kNoLimit;
  int64_t generated_tokens_per_minute = kNoLimit;
  int64_t state_bytes = kNoLimit;      // of saved states
  int64_t max_ttl_seconds = kNoLimit;  // of saved states and pins
  int64_t max_pins = kNoLimit;
  ByteQuota message_bytes;  // of request messages that are held
  ByteQuota unread_bytes;   // of responses that clients have not read
  int32_t weight = 1;       // its part of the server, compared with others

  // What its request messages may take if those of all calls may take `all`.
  // Without a quota, an eighth is left to others.
  int64_t MessageBytesOf(int64_t all) const;
  absl::Duration MaxTimeToLive() const;
};

// Whether a quota, or the weight, has this name.
bool IsQuota(absl::string_view name);

// The names of all quotas and of the weight, separated by commas.
std::string QuotaNames();

// The functions below are for a name with IsQuota.

// Sets the quota. Returns false, and changes nothing, if `text` is not a value
// of it.
bool SetQuota(absl::string_view name, absl::string_view text, Quotas* quotas);

// The values of the quota, such as "an integer in [1, 100]".
std::string QuotaValues(absl::string_view name);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_AUTH_QUOTAS_H_
