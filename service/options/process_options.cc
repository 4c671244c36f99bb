// SPDX-License-Identifier: Apache-2.0
#include "service/options/process_options.h"

#include "absl/flags/flag.h"
#include "core/base/status_macros.h"
#include "service/options/flag_checks.h"

ABSL_FLAG(absl::Duration, drain_grace, absl::Seconds(20),
          "How long accepted requests may continue after SIGTERM or SIGINT. A "
          "second signal, or SIGQUIT, ends them at once.");
ABSL_FLAG(absl::Duration, lame_duck, absl::ZeroDuration(),
          "How long requests are still accepted after SIGTERM or SIGINT, while "
          "the health service already reports NOT_SERVING. Then clients are "
          "sent to other servers.");

namespace rwkvd {

absl::Status ReadProcessFlags(ProcessOptions* options) {
  options->drain_grace = absl::GetFlag(FLAGS_drain_grace);
  options->lame_duck = absl::GetFlag(FLAGS_lame_duck);
  RWKVD_RETURN_IF_ERROR(CheckDuration("drain_grace", options->drain_grace));
  return CheckDuration("lame_duck", options->lame_duck);
}

}  // namespace rwkvd
