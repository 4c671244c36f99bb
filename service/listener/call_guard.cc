// SPDX-License-Identifier: Apache-2.0
#include "service/listener/call_guard.h"

#include <algorithm>
#include <utility>

namespace rwkvd {
namespace {

// To inspect all connections takes milliseconds, so it is done at once only
// after this many new calls, and otherwise after this time.
constexpr int64_t kManyNewCalls = 256;
constexpr absl::Duration kInspectionPeriod = absl::Seconds(1);

// Calls may end late after all whose end was thought to be missed.
constexpr absl::Duration kRecountPeriod = absl::Seconds(10);

// What gRPC keeps for a call whose message has not arrived, rounded up.
constexpr int64_t kCallBytes = 10 << 10;

// The part of its memory that gRPC may use for such calls. Most of the rest is
// for messages (MessageBudget).
constexpr int64_t kCallsShare = 4;

// How many calls clients may start before they know the limit of streams.
constexpr int64_t kMinCallsPerConnection = 200;

// For calls that are no requests of the engine: health, states, reflection.
constexpr int64_t kOtherCalls = 256;

}  // namespace

CallGuard::Limits CallGuard::Derive(int64_t grpc_memory_bytes,
                                    int64_t max_streams_per_connection,
                                    int64_t max_requests) {
  Limits limits;
  limits.per_connection =
      std::max(2 * max_streams_per_connection, kMinCallsPerConnection);
  limits.total = std::max(grpc_memory_bytes / kCallsShare / kCallBytes,
                          max_requests + kOtherCalls);
  return limits;
}

CallGuard::CallGuard(const Limits& limits, Functions functions)
    : limits_(limits),
      high_total_(limits.total - limits.total / 4),
      functions_(std::move(functions)) {}

void CallGuard::Check(absl::Duration now) {
  const int64_t total = CountCalls();
  functions_.allow(limits_.total - total);
  if (!MustInspect(total, now)) return;
  inspected_at_ = now;
  Inspect();
}

int64_t CallGuard::CountCalls() {
  const int64_t counted = functions_.count();
  missed_ends_ = std::min(missed_ends_, counted);
  return counted - missed_ends_;
}

bool CallGuard::MustInspect(int64_t total, absl::Duration now) {
  const bool is_recount_due =
      missed_ends_ > 0 && now >= inspected_at_ + kRecountPeriod;
  // No connection can have more than all together.
  if (total <= std::min(limits_.per_connection, high_total_)) {
    inspected_calls_ = 0;
    return is_recount_due;
  }
  inspected_calls_ = std::min(inspected_calls_, total);
  return total >= inspected_calls_ + kManyNewCalls || total > high_total_ ||
         now >= inspected_at_ + kInspectionPeriod;
}

void CallGuard::Inspect() {
  std::vector<ConnectionCalls> connections = functions_.count_by_connection();
  int64_t total = Recount(connections);
  functions_.allow(limits_.total - total);
  inspected_calls_ = total;
  std::sort(connections.begin(), connections.end(),
            [](const ConnectionCalls& a, const ConnectionCalls& b) {
              return a.num_calls > b.num_calls;
            });
  for (const ConnectionCalls& connection : connections) {
    if (connection.num_calls <= limits_.per_connection &&
        total <= high_total_) {
      return;
    }
    if (functions_.close(connection)) total -= connection.num_calls;
  }
}

int64_t CallGuard::Recount(const std::vector<ConnectionCalls>& connections) {
  int64_t total = 0;
  for (const ConnectionCalls& connection : connections) {
    total += connection.num_calls;
  }
  missed_ends_ = std::max<int64_t>(functions_.count() - total, 0);
  return total;
}

}  // namespace rwkvd
