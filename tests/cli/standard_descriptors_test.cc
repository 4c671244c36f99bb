// SPDX-License-Identifier: Apache-2.0
#include "cli/standard_descriptors.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ExitedWithCode;

constexpr int kStandard[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};

TEST(StandardDescriptorsTest, MissingOnesAreOccupiedAndStayUnusable) {
  EXPECT_EXIT(
      {
        for (const int fd : kStandard) close(fd);
        OccupyStandardDescriptors();
        char byte = 'x';
        bool ok = open("/dev/null", O_RDWR) > STDERR_FILENO;
        ok &= read(STDIN_FILENO, &byte, 1) < 0 && errno == EBADF;
        ok &= write(STDOUT_FILENO, &byte, 1) < 0 && errno == EBADF;
        ok &= write(STDERR_FILENO, &byte, 1) < 0 && errno == EBADF;
        _exit(ok ? 0 : 1);
      },
      ExitedWithCode(0), "");
}

TEST(StandardDescriptorsTest, OthersAreKept) {
  EXPECT_EXIT(
      {
        close(STDIN_FILENO);
        OccupyStandardDescriptors();
        // What the test reads was written to the standard error of before.
        const bool ok = write(STDERR_FILENO, "kept", 4) == 4;
        _exit(ok ? 0 : 1);
      },
      ExitedWithCode(0), "kept");
}

}  // namespace
}  // namespace rwkvd
