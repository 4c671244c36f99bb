// SPDX-License-Identifier: Apache-2.0
#include "cli/failure_handlers.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <system_error>

#include "absl/debugging/failure_signal_handler.h"
#include "absl/debugging/symbolize.h"

namespace rwkvd {
namespace {

constexpr int kSignals[] = {SIGSEGV, SIGILL, SIGFPE, SIGABRT, SIGBUS, SIGTRAP};
constexpr int kMaxSignal = 64;

// How long a failing thread waits for the report of another failing thread,
// which then ends the process. The report itself takes at most 3 seconds.
constexpr unsigned kReportSeconds = 5;

// abort() counts as a lack of memory if so little cannot be mapped: libraries
// abort when they cannot get a small block, and the heap grows by at most 1
// MiB.
constexpr size_t kProbeBytes = 1 << 20;

const char* program_name = "";
struct sigaction report_actions[kMaxSignal + 1];  // Abseil's, by signal
std::atomic<pid_t> failing_thread{0};             // 0: none

// The functions below are safe in signal handlers, and allocate nothing.

void Write(const char* text) {
  // Nothing can be done about an error.
  [[maybe_unused]] const ssize_t size =
      write(STDERR_FILENO, text, std::strlen(text));
}

[[noreturn]] void ExitWith(const char* reason, const char* detail = "") {
  Write(program_name);
  Write(": ");
  Write(reason);
  Write(detail);
  Write("\n");
  _exit(1);
}

void EndBySignal(int number) {
  signal(number, SIG_DFL);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, number);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  raise(number);
}

bool IsOutOfMemory() {
  void* const probe = mmap(nullptr, kProbeBytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (probe == MAP_FAILED) return errno == ENOMEM;
  munmap(probe, kProbeBytes);
  return false;
}

// Abseil's report has a time limit, which SIGALRM enforces.
void UnblockAlarm() {
  sigset_t alarm;
  sigemptyset(&alarm);
  sigaddset(&alarm, SIGALRM);
  pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
}

void OnFatalSignal(int number, siginfo_t* info, void* context) {
  const pid_t thread = gettid();
  pid_t first = 0;
  if (!failing_thread.compare_exchange_strong(first, thread)) {
    if (first != thread) sleep(kReportSeconds);
    EndBySignal(number);
    return;
  }
  if (number == SIGABRT && IsOutOfMemory()) ExitWith("out of memory");
  UnblockAlarm();
  report_actions[number].sa_sigaction(number, info, context);
}

// The handler of std::terminate.
[[noreturn]] void OnTerminate() {
  if (std::current_exception() == nullptr) std::abort();
  try {
    throw;
  } catch (const std::bad_alloc&) {
    ExitWith("out of memory");
  } catch (const std::length_error&) {
    ExitWith("out of memory");
  } catch (const std::system_error& error) {
    ExitWith("the operating system refuses a thread or another resource: ",
             error.what());
  } catch (const std::exception& error) {
    Write(program_name);
    Write(": unexpected exception: ");
    Write(error.what());
    Write("\n");
  } catch (...) {
  }
  std::abort();
}

}  // namespace

void InstallFailureHandlers(const char* program, const char* argv0) {
  program_name = program;
  std::set_terminate(OnTerminate);
  absl::InitializeSymbolizer(argv0);
  // Abseil reports SIGTERM, too, which is no failure.
  struct sigaction on_sigterm;
  sigaction(SIGTERM, nullptr, &on_sigterm);
  absl::InstallFailureSignalHandler({});
  sigaction(SIGTERM, &on_sigterm, nullptr);
  for (const int number : kSignals) {
    struct sigaction action = {};
    action.sa_sigaction = OnFatalSignal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaction(number, &action, &report_actions[number]);
  }
}

}  // namespace rwkvd
