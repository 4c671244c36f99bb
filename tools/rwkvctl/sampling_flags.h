// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_SAMPLING_FLAGS_H_
#define RWKVD_TOOLS_RWKVCTL_SAMPLING_FLAGS_H_

#include "absl/strings/string_view.h"
#include "rwkv/v1/rwkv.pb.h"

namespace rwkvd {

// The source file that defines the sampling flags, which several commands
// share: one flag for each field of the Sampling message.
inline constexpr absl::string_view kSamplingFlagsFile =
    "tools/rwkvctl/sampling_flags.cc";

// Sets the fields whose flags are on the command line.
void SetSampling(::rwkv::v1::Sampling* sampling);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_SAMPLING_FLAGS_H_
