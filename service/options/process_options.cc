// SPDX-License-Identifier: Apache-2.0
#include "service/options/process_options.h"

#include "absl/flags/flag.h"
#include "absl/strings/string_view.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "service/options/flag_checks.h"

ABSL_FLAG(absl::Duration, drain_grace, absl::Seconds(20),
          "How long accepted requests may continue after SIGTERM or SIGINT. A "
          "second signal, or SIGQUIT, ends them at once.");
ABSL_FLAG(absl::Duration, lame_duck, absl::ZeroDuration(),
          "How long requests are still accepted after SIGTERM or SIGINT, while "
          "the health service already reports NOT_SERVING. Then clients are "
          "sent to other servers.");
ABSL_FLAG(std::string, log_level, "info",
          "The lowest level to log: debug, info, warn or error.");

namespace rwkvd {
namespace {

absl::Status CheckLogLevel(absl::string_view level) {
  for (const char* known : {"debug", "info", "warn", "error"}) {
    if (level == known) return absl::OkStatus();
  }
  return FlagError("log_level", Quoted(level),
                   " is not debug, info, warn or error");
}

}  // namespace

absl::Status ReadProcessFlags(ProcessOptions* options) {
  options->drain_grace = absl::GetFlag(FLAGS_drain_grace);
  options->lame_duck = absl::GetFlag(FLAGS_lame_duck);
  options->log_level = absl::GetFlag(FLAGS_log_level);
  RWKVD_RETURN_IF_ERROR(CheckDuration("drain_grace", options->drain_grace));
  RWKVD_RETURN_IF_ERROR(CheckDuration("lame_duck", options->lame_duck));
  return CheckLogLevel(options->log_level);
}

}  // namespace rwkvd
