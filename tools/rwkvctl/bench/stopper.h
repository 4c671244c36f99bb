// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_BENCH_STOPPER_H_
#define RWKVD_TOOLS_RWKVCTL_BENCH_STOPPER_H_

#include <grpcpp/client_context.h>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace rwkvd {

// Ends what many threads do: the calls under way, and the pauses between them.
//
// Thread-safe.
class Stopper {
 public:
  // Cancels the calls under way and all that begin later. Idempotent.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);
  bool stopped() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Sleeps until stopped, at most for `duration`; whether it was stopped.
  bool Pause(absl::Duration duration) ABSL_LOCKS_EXCLUDED(mutex_);

  // A call under way, for as long as this lives.
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
