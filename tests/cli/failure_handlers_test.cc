// SPDX-License-Identifier: Apache-2.0
#include "cli/failure_handlers.h"

#include <signal.h>
#include <sys/resource.h>

#include <cstdlib>
#include <new>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ExitedWithCode;
using ::testing::KilledBySignal;

void Install() { InstallFailureHandlers("prog", ""); }

// No further memory can be mapped.
void UseUpMemory() {
  const rlimit none = {1, 1};
  setrlimit(RLIMIT_AS, &none);
}

TEST(FailureHandlersTest, LackOfMemoryIsOneLineAndAnExitCode) {
  EXPECT_EXIT(
      {
        Install();
        std::thread([] { throw std::bad_alloc(); }).join();
      },
      ExitedWithCode(1), "^prog: out of memory\n$");
}

TEST(FailureHandlersTest, LackOfThreadsIsOneLineWithTheReason) {
  EXPECT_EXIT(
      {
        Install();
        std::thread([] {
          throw std::system_error(
              std::make_error_code(std::errc::resource_unavailable_try_again));
        }).join();
      },
      ExitedWithCode(1),
      "^prog: the operating system refuses a thread or another resource: "
      "Resource temporarily unavailable\n$");
}

TEST(FailureHandlersTest, MistakesEndWithAStackTrace) {
  EXPECT_EXIT(
      {
        Install();
        std::abort();
      },
      KilledBySignal(SIGABRT), "SIGABRT");
  EXPECT_EXIT(
      {
        Install();
        raise(SIGSEGV);
      },
      KilledBySignal(SIGSEGV), "SIGSEGV");
  EXPECT_EXIT(
      {
        Install();
        std::thread([] { throw std::out_of_range("index 9"); }).join();
      },
      KilledBySignal(SIGABRT), "^prog: unexpected exception: index 9\n");
}

TEST(FailureHandlersTest, SigtermIsNoFailure) {
  EXPECT_EXIT(
      {
        Install();
        raise(SIGTERM);
      },
      KilledBySignal(SIGTERM), "^$");
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(FailureHandlersTest, AbortWithoutMemoryIsOneLine) {
  EXPECT_EXIT(
      {
        Install();
        UseUpMemory();
        std::abort();
      },
      ExitedWithCode(1), "^prog: out of memory\n$");
}

TEST(FailureHandlersTest, FailureDuringTheReportEndsTheProcess) {
  // The report needs memory, and aborts without it.
  EXPECT_EXIT(
      {
        Install();
        UseUpMemory();
        raise(SIGSEGV);
      },
      [](int status) { return WIFSIGNALED(status); }, "SIGSEGV");
}
#endif

}  // namespace
}  // namespace rwkvd
