// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CLI_SIGNAL_WATCHER_H_
#define RWKVD_CLI_SIGNAL_WATCHER_H_

#include <functional>
#include <thread>

namespace rwkvd {

// Hands SIGTERM and SIGINT to a function on a thread of its own, where, unlike
// in a signal handler, anything may be called.
//
// One per process, owned by main and made before any other thread, since every
// thread must inherit the blocked signals. Signals that arrive before Start
// wait for it.
class SignalWatcher {
 public:
  SignalWatcher();
  ~SignalWatcher();
  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;

  // Calls `on_signal` with the number of each signal, one at a time. Once.
  void Start(std::function<void(int signal)> on_signal);

  // Ends the thread; a call under way is waited for. Signals stay blocked.
  void Stop();

 private:
  void Run(const std::function<void(int signal)>& on_signal);

  int signal_fd_ = -1;
  int stop_fd_ = -1;
  std::thread thread_;
};

}  // namespace rwkvd

#endif  // RWKVD_CLI_SIGNAL_WATCHER_H_
