// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_CHAT_INTERRUPT_H_
#define RWKVD_TOOLS_RWKVCTL_CHAT_INTERRUPT_H_

#include <grpcpp/client_context.h>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "cli/signal_watcher.h"

namespace rwkvd {

// Handles Ctrl-C and SIGTERM in a chat. Ctrl-C cancels the running call, or
// ends the session if no call is running. SIGTERM does both.
//
// One per process, created before any other thread starts. Thread-safe.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // Registers the running call for as long as the guard lives.
  class Guard {
   public:
    Guard(Interrupt* interrupt, grpc::ClientContext* context);
    ~Guard();
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

    // Whether a signal cancelled the call.
    bool interrupted() const;

   private:
    Interrupt* const interrupt_;
  };

  // A file descriptor that becomes and stays readable once the session has to
  // end.
  int end_fd() const { return end_fd_; }
  bool ended() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void OnSignal(int signal) ABSL_LOCKS_EXCLUDED(mutex_);

  mutable absl::Mutex mutex_;
  grpc::ClientContext* call_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool call_interrupted_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  int end_fd_ = -1;
  SignalWatcher signals_;  // last member: its thread uses those above
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_INTERRUPT_H_
