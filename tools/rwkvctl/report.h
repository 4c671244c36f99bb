// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_REPORT_H_
#define RWKVD_TOOLS_RWKVCTL_REPORT_H_

#include "absl/status/status.h"
#include "rwkv/v1/rwkv.pb.h"

namespace rwkvd {

// These tell on the standard error, in one line each.

// What failed: "rwkvctl: UNAVAILABLE: ...".
void TellFailure(const absl::Status& status);

// The token counts and times of an answer.
void TellStats(const ::rwkv::v1::Finish& finish);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_REPORT_H_
