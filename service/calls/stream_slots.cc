// SPDX-License-Identifier: Apache-2.0
#include "service/calls/stream_slots.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/peer_address.h"

namespace rwkvd {

bool StreamSlots::Take(MonitoredCall* call, absl::string_view identity,
                       absl::string_view peer, int32_t limit) {
  const std::string client = identity.empty()
                                 ? PeerAddress(peer)
                                 : absl::StrCat("identity:", identity);
  MonitoredCall* loser = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    const auto num_free =
        std::max<int64_t>(limit - static_cast<int64_t>(holders_.size()), 0);
    const auto num_own = std::count_if(
        holders_.begin(), holders_.end(),
        [&](const Holder& holder) { return holder.client == client; });
    const bool has_share = client.empty() || num_own <= num_free;
    if (num_free > 0 && has_share) {
      holders_.push_back({call, client});
      return true;
    }
    Holder* const holder = LongestWaiting(num_free > 0 ? client : "");
    if (holder == nullptr) return false;
    loser = std::exchange(holder->call, call);
    holder->client = client;
    loser->Ref();
  }
  monitor_->GiveUp(loser, GiveUpReason::kSlots);
  loser->Unref();
  return true;
}

void StreamSlots::Release(MonitoredCall* call) {
  absl::MutexLock lock(&mutex_);
  const auto holder =
      std::find_if(holders_.begin(), holders_.end(),
                   [&](const Holder& h) { return h.call == call; });
  if (holder != holders_.end()) holders_.erase(holder);
}

int32_t StreamSlots::num_taken() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int32_t>(holders_.size());
}

StreamSlots::Holder* StreamSlots::LongestWaiting(absl::string_view client) {
  Holder* longest = nullptr;
  absl::Duration wait = max_wait_;
  for (Holder& holder : holders_) {
    if (!client.empty() && holder.client != client) continue;
    const absl::Duration its_wait = CallMonitor::WaitOf(*holder.call);
    if (its_wait <= wait) continue;
    wait = its_wait;
    longest = &holder;
  }
  return longest;
}

}  // namespace rwkvd
