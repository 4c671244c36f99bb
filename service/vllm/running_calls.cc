// SPDX-License-Identifier: Apache-2.0
#include "service/vllm/running_calls.h"

#include <vector>

namespace rwkvd {

void RunningCalls::Add(const std::string& id, GenerateCall* call) {
  absl::MutexLock lock(&mutex_);
  calls_.emplace(id, call);
}

void RunningCalls::Remove(const std::string& id, GenerateCall* call) {
  absl::MutexLock lock(&mutex_);
  const auto [begin, end] = calls_.equal_range(id);
  for (auto it = begin; it != end; ++it) {
    if (it->second != call) continue;
    calls_.erase(it);
    return;
  }
}

void RunningCalls::Abort(absl::string_view partition,
                         const absl::flat_hash_set<absl::string_view>& ids) {
  std::vector<GenerateCall*> calls;
  {
    absl::MutexLock lock(&mutex_);
    for (const absl::string_view id : ids) {
      const auto [begin, end] = calls_.equal_range(KeyOf(partition, id));
      for (auto it = begin; it != end; ++it) {
        calls.push_back(it->second);
        it->second->Ref();  // gRPC's reference still exists
      }
    }
  }
  // Without the lock, which calls take while they hold their own.
  for (GenerateCall* const call : calls) {
    call->Abort();
    call->Unref();
  }
}

int64_t RunningCalls::size() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int64_t>(calls_.size());
}

}  // namespace rwkvd
