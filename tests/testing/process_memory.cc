// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/process_memory.h"

#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "core/base/check.h"

namespace rwkvd::testing {
namespace {

struct Pages {
  int64_t all, resident, of_files;
};

Pages CountPages() {
  Pages pages;
  std::ifstream file("/proc/self/statm");
  file >> pages.all >> pages.resident >> pages.of_files;
  RWKVD_CHECK(file.good());
  return pages;
}

// Runs in the child process, and does not return.
[[noreturn]] void Measure(absl::FunctionRef<void()> work, int pipe_end) {
  const int64_t before = ResidentBytes();
  work();
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const int64_t grown = int64_t{usage.ru_maxrss} * 1024 - before;
  const bool whole = write(pipe_end, &grown, sizeof(grown)) == sizeof(grown);
  _exit(whole ? 0 : 1);
}

}  // namespace

int64_t ResidentBytes() {
  return CountPages().resident * sysconf(_SC_PAGESIZE);
}

int64_t ResidentFileBytes() {
  return CountPages().of_files * sysconf(_SC_PAGESIZE);
}

int64_t AllocatedBytes() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<int64_t>(info.uordblks + info.hblkhd);
}

int64_t PeakBytes(absl::FunctionRef<void()> work) {
  int ends[2];
  RWKVD_CHECK(pipe(ends) == 0);
  const pid_t child = fork();
  RWKVD_CHECK(child >= 0);
  if (child == 0) Measure(work, ends[1]);
  close(ends[1]);
  int64_t grown = 0;
  RWKVD_CHECK(read(ends[0], &grown, sizeof(grown)) == sizeof(grown));
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return grown;
}

}  // namespace rwkvd::testing
