// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_VLLM_RUNNING_CALLS_H_
#define RWKVD_SERVICE_VLLM_RUNNING_CALLS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "service/calls/generate_call.h"

namespace rwkvd {

// The calls that other calls may abort, by the key of their request ids, which
// clients choose. Several calls may have the same id. There is one entry per
// call whose requests the engine has accepted, so that the limits of calls
// bound it.
//
// Owned by the service; outlives the calls. Thread-safe.
class RunningCalls {
 public:
  // The id of a call among those of all partitions. A client finds the calls of
  // its own partition only.
  static std::string KeyOf(absl::string_view partition,
                           absl::string_view request_id) {
    return absl::StrCat(partition, absl::string_view("\0", 1), request_id);
  }

  // Each call is added once at most, and removed before gRPC releases it.
  void Add(const std::string& id, GenerateCall* call)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Remove(const std::string& id, GenerateCall* call)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Aborts all calls of the partition with one of these ids, each once. Unknown
  // ids are ignored.
  void Abort(absl::string_view partition,
             const absl::flat_hash_set<absl::string_view>& ids)
      ABSL_LOCKS_EXCLUDED(mutex_);

  int64_t size() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable absl::Mutex mutex_;
  std::multimap<std::string, GenerateCall*, std::less<>> calls_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_VLLM_RUNNING_CALLS_H_
