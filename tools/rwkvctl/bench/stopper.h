// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_BENCH_STOPPER_H_
#define RWKVD_TOOLS_RWKVCTL_BENCH_STOPPER_H_

#include <grpcpp/client_context.h>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace rwkvd {

// Stops the work of many threads: cancels their calls and ends their pauses.
//
// Thread-safe.
class Stopper {
 public:
  // Cancels the running calls and all calls that start later. Idempotent.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);
  bool stopped() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Sleeps for `duration`, or until stopped. Returns whether it was stopped.
  bool Pause(absl::Duration duration) ABSL_LOCKS_EXCLUDED(mutex_);

  // Registers a running call for as long as the guard lives.
  class Guard {
   public:
    Guard(Stopper* stopper, grpc::ClientContext* context);
    ~Guard();
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    Stopper* const stopper_;
    grpc::ClientContext* const context_;
  };

 private:
  mutable absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_set<grpc::ClientContext*> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_BENCH_STOPPER_H_
