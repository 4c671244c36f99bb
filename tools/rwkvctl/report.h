// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_REPORT_H_
#define RWKVD_TOOLS_RWKVCTL_REPORT_H_

#include "absl/status/status.h"
#include "rwkv/v1/rwkv.pb.h"

namespace rwkvd {

// Prints an error to stderr as one line, such as "rwkvctl: UNAVAILABLE: ...".
void PrintFailure(const absl::Status& status);

// Prints the token counts and times of an answer to stderr as one line.
void PrintStats(const ::rwkv::v1::Finish& finish);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_REPORT_H_
