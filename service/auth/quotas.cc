// SPDX-License-Identifier: Apache-2.0
#include "service/auth/quotas.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace rwkvd {
namespace {

constexpr int64_t kMiB = 1 << 20;

// What an identity without a quota for messages leaves to others, so that it
// does not keep them out.
constexpr int64_t kMessageReserve = 8;

constexpr absl::string_view kWeight = "weight";

// The quotas that are numbers.
struct NumberQuota {
  absl::string_view name;
  int64_t Quotas::*value;
  int64_t unit;
};
constexpr NumberQuota kNumbers[] = {
    {"max_running", &Quotas::max_running, 1},
    {"max_queued", &Quotas::max_queued, 1},
    {"prompt_tokens_per_minute", &Quotas::prompt_tokens_per_minute, 1},
    {"generated_tokens_per_minute", &Quotas::generated_tokens_per_minute, 1},
    {"state_store_mib", &Quotas::state_bytes, kMiB},
    {"max_ttl_seconds", &Quotas::max_ttl_seconds, 1},
    {"max_pins", &Quotas::max_pins, 1},
};

// The quotas that are bytes or a part of all.
struct BytesQuota {
  absl::string_view name;
  ByteQuota Quotas::*value;
};
constexpr BytesQuota kBytes[] = {
    {"message_bytes", &Quotas::message_bytes},
    {"unread_bytes", &Quotas::unread_bytes},
};

// An integer in [1, max], of digits only.
std::optional<int64_t> ParseNumber(absl::string_view text, int64_t max) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  int64_t number = 0;
  const bool is_number = !text.empty() &&
                         std::all_of(text.begin(), text.end(), is_digit) &&
                         absl::SimpleAtoi(text, &number);
  if (!is_number || number < 1 || number > max) return std::nullopt;
  return number;
}

template <typename Quota, size_t kSize>
const Quota* FindQuota(const Quota (&quotas)[kSize], absl::string_view name) {
  const auto found =
      std::find_if(std::begin(quotas), std::end(quotas),
                   [name](const Quota& quota) { return quota.name == name; });
  return found == std::end(quotas) ? nullptr : found;
}

std::optional<ByteQuota> ParseBytes(absl::string_view text) {
  ByteQuota quota;
  if (absl::ConsumeSuffix(&text, "%")) {
    const std::optional<int64_t> percent = ParseNumber(text, 100);
    if (!percent.has_value()) return std::nullopt;
    quota.percent = static_cast<int32_t>(*percent);
    return quota;
  }
  const std::optional<int64_t> bytes = ParseNumber(text, kMaxQuota);
  if (!bytes.has_value()) return std::nullopt;
  quota.bytes = *bytes;
  return quota;
}

}  // namespace

int64_t ByteQuota::Of(int64_t all) const {
  if (percent == 0) return bytes;
  // Without overflow, and at least one byte.
  return std::max<int64_t>(all / 100 * percent + all % 100 * percent / 100, 1);
}

int64_t Quotas::MessageBytesOf(int64_t all) const {
  return message_bytes.is_given() ? message_bytes.Of(all)
                                  : all - all / kMessageReserve;
}

absl::Duration Quotas::MaxTimeToLive() const {
  return max_ttl_seconds == kNoLimit ? absl::InfiniteDuration()
                                     : absl::Seconds(max_ttl_seconds);
}

bool IsQuota(absl::string_view name) {
  return name == kWeight || FindQuota(kNumbers, name) != nullptr ||
         FindQuota(kBytes, name) != nullptr;
}

std::string QuotaNames() {
  std::string names(kWeight);
  for (const NumberQuota& quota : kNumbers) {
    absl::StrAppend(&names, ", ", quota.name);
  }
  for (const BytesQuota& quota : kBytes) {
    absl::StrAppend(&names, ", ", quota.name);
  }
  return names;
}

bool SetQuota(absl::string_view name, absl::string_view text, Quotas* quotas) {
  if (const BytesQuota* const quota = FindQuota(kBytes, name)) {
    const std::optional<ByteQuota> bytes = ParseBytes(text);
    if (bytes.has_value()) quotas->*quota->value = *bytes;
    return bytes.has_value();
  }
  const NumberQuota* const quota = FindQuota(kNumbers, name);
  const std::optional<int64_t> number =
      ParseNumber(text, quota == nullptr ? kMaxWeight : kMaxQuota);
  if (!number.has_value()) return false;
  if (quota == nullptr) {
    quotas->weight = static_cast<int32_t>(*number);
  } else {
    quotas->*quota->value = *number * quota->unit;
  }
  return true;
}

std::string QuotaValues(absl::string_view name) {
  if (FindQuota(kBytes, name) != nullptr) {
    return absl::StrCat("a number of bytes in [1, ", kMaxQuota,
                        "], or 1% to 100% of those of all calls");
  }
  return absl::StrCat("an integer in [1, ",
                      name == kWeight ? kMaxWeight : kMaxQuota, "]");
}

}  // namespace rwkvd
