// SPDX-License-Identifier: Apache-2.0
#include "cli/signal_watcher.h"

#include <signal.h>
#include <unistd.h>

#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::UnorderedElementsAre;

TEST(SignalWatcherTest, ReportsTheWatchedSignals) {
  SignalWatcher watcher({SIGTERM, SIGQUIT, SIGHUP});
  absl::BlockingCounter counter(3);
  std::vector<int> seen;
  kill(getpid(), SIGHUP);  // before Start
  watcher.Start([&](int signal) {
    seen.push_back(signal);
    counter.DecrementCount();
  });
  kill(getpid(), SIGTERM);
  kill(getpid(), SIGQUIT);
  counter.Wait();
  watcher.Stop();
  EXPECT_THAT(seen, UnorderedElementsAre(SIGTERM, SIGQUIT, SIGHUP));
}

TEST(SignalWatcherTest, NeedlessSignalsAreIgnored) {
  IgnoreNeedlessSignals();
  for (const int signal :
       {SIGALRM, SIGIO, SIGPIPE, SIGPROF, SIGPWR, SIGSTKFLT, SIGUSR1, SIGUSR2,
        SIGVTALRM, SIGXFSZ, SIGRTMIN, SIGRTMIN + 1, SIGRTMAX}) {
    EXPECT_EQ(kill(getpid(), signal), 0);  // the process survives
  }
}

}  // namespace
}  // namespace rwkvd
