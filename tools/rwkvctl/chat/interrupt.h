// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_CHAT_INTERRUPT_H_
#define RWKVD_TOOLS_RWKVCTL_CHAT_INTERRUPT_H_

#include <grpcpp/client_context.h>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "cli/signal_watcher.h"

namespace rwkvd {

// What Ctrl-C does in a session: it ends the call under way, and where there is
// none, the session. SIGTERM ends both.
//
// One per process, made before any other thread; thread-safe.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // A call under way, for as long as this lives.
  class Guard {
   public:
    Guard(Interrupt* interrupt, grpc::ClientContext* context);
    ~Guard();
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

    // Whether the call was ended.
    bool interrupted() const;

   private:
    Interrupt* const interrupt_;
  };

  // Becomes readable when the session is to end, and stays so.
  int end_fd() const { return end_fd_; }
  bool ended() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void OnSignal(int signal) ABSL_LOCKS_EXCLUDED(mutex_);

  mutable absl::Mutex mutex_;
  grpc::ClientContext* call_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool call_interrupted_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  int end_fd_ = -1;
  SignalWatcher signals_;  // its thread uses the others
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_INTERRUPT_H_
