// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CLI_STANDARD_DESCRIPTORS_H_
#define RWKVD_CLI_STANDARD_DESCRIPTORS_H_

namespace rwkvd {

// Occupies the descriptors of the standard input, output and error if the
// process was started without them. Otherwise the next file or connection gets
// such a number, and the log or an error message is written to it. Reading and
// writing still fail, as if the descriptor were closed.
//
// Called first in main().
void OccupyStandardDescriptors();

}  // namespace rwkvd

#endif  // RWKVD_CLI_STANDARD_DESCRIPTORS_H_
