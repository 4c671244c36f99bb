// SPDX-License-Identifier: Apache-2.0
#include "cli/standard_descriptors.h"

#include <fcntl.h>
#include <unistd.h>

#include <initializer_list>

namespace rwkvd {

void OccupyStandardDescriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    // Gets the lowest number that is free, which is `fd`, and the mode for what
    // nobody does with it. Nothing can be done about an error.
    [[maybe_unused]] const int opened =
        open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

}  // namespace rwkvd
