// SPDX-License-Identifier: Apache-2.0
#include "cli/signal_watcher.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "core/base/check.h"

namespace rwkvd {

SignalWatcher::SignalWatcher(std::initializer_list<int> watched) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : watched) sigaddset(&signals, signal);
  RWKVD_CHECK(pthread_sigmask(SIG_BLOCK, &signals, nullptr) == 0);
  signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC);
  stop_fd_ = eventfd(0, EFD_CLOEXEC);
  RWKVD_CHECK(signal_fd_ >= 0 && stop_fd_ >= 0);
}

SignalWatcher::~SignalWatcher() {
  Stop();
  close(signal_fd_);
  close(stop_fd_);
}

void SignalWatcher::Start(std::function<void(int signal)> on_signal) {
  thread_ =
      std::thread([this, on_signal = std::move(on_signal)] { Run(on_signal); });
}

void SignalWatcher::Stop() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  RWKVD_CHECK(write(stop_fd_, &one, sizeof(one)) == sizeof(one));
  thread_.join();
}

void SignalWatcher::Run(const std::function<void(int signal)>& on_signal) {
  pollfd fds[] = {{signal_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
  while (true) {
    if (poll(fds, 2, -1) < 0) continue;  // interrupted
    if (fds[1].revents != 0) return;
    signalfd_siginfo info;
    if (read(signal_fd_, &info, sizeof(info)) == sizeof(info)) {
      on_signal(static_cast<int>(info.ssi_signo));
    }
  }
}

void IgnoreNeedlessSignals() {
  for (const int number : {SIGALRM, SIGIO, SIGPIPE, SIGPROF, SIGPWR, SIGSTKFLT,
                           SIGUSR1, SIGUSR2, SIGVTALRM, SIGXFSZ}) {
    RWKVD_CHECK(signal(number, SIG_IGN) != SIG_ERR);
  }
  for (int number = SIGRTMIN; number <= SIGRTMAX; ++number) {
    RWKVD_CHECK(signal(number, SIG_IGN) != SIG_ERR);
  }
}

}  // namespace rwkvd
