// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CLI_SIGNAL_WATCHER_H_
#define RWKVD_CLI_SIGNAL_WATCHER_H_

#include <signal.h>

#include <functional>
#include <initializer_list>
#include <thread>

namespace rwkvd {

// Calls a function on some signals. The function runs on a thread of the
// watcher, so that it may call anything, unlike a signal handler.
//
// There is one per process, owned by main and constructed before any other
// thread starts, since all threads must inherit the blocked signals. Signals
// that arrive before Start stay pending until then.
class SignalWatcher {
 public:
  explicit SignalWatcher(std::initializer_list<int> watched = {SIGTERM,
                                                               SIGINT});
  ~SignalWatcher();
  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;

  // Calls `on_signal` with the number of each signal, one at a time. Called
  // once.
  void Start(std::function<void(int signal)> on_signal);

  // Ends the thread, after a running `on_signal` has returned. The signals stay
  // blocked.
  void Stop();

 private:
  void Run(const std::function<void(int signal)>& on_signal);

  int signal_fd_ = -1;
  int stop_fd_ = -1;
  std::thread thread_;
};

// Makes the process ignore the signals that would end it though nothing is
// wrong with it: SIGALRM, SIGIO, SIGPIPE, SIGPROF, SIGPWR, SIGSTKFLT, SIGUSR1,
// SIGUSR2, SIGVTALRM, the real-time signals, and SIGXFSZ, whose cause the
// failing write reports too.
void IgnoreNeedlessSignals();

}  // namespace rwkvd

#endif  // RWKVD_CLI_SIGNAL_WATCHER_H_
