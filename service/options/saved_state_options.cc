// SPDX-License-Identifier: Apache-2.0
#include "service/options/saved_state_options.h"

#include "absl/flags/flag.h"
#include "core/base/status_macros.h"
#include "service/options/flag_checks.h"
#include "service/options/redis_flags.h"

ABSL_FLAG(std::string, state_dir, "",
          "The directory for states that are saved for clients. It survives a "
          "restart, and several servers of one user may share it. The server "
          "creates it with mode 0700, or makes it private if it contains saved "
          "states only. If empty, these states are kept in memory, or in "
          "--state_store.");
ABSL_FLAG(int64_t, state_store_mib, 256,
          "The maximum size of all states that are saved for clients, in MiB. "
          "No state is deleted before it expires; further ones are refused "
          "with RESOURCE_EXHAUSTED."
          " The default is lower if the memory limit requires it.");
ABSL_FLAG(absl::Duration, state_ttl, absl::Hours(1),
          "How long a state is saved if the client does not choose a time.");
ABSL_FLAG(int64_t, max_pending_states_mib, 1024,
          "The maximum size of all saved states that have been loaded for "
          "queued requests, in MiB. Further such requests are refused with "
          "RESOURCE_EXHAUSTED; a single one is always accepted."
          " The default is lower if the memory limit requires it.");

namespace rwkvd {
namespace {

absl::Status CheckTtl(absl::Duration ttl) {
  if (ttl > absl::ZeroDuration() && ttl <= absl::Hours(24 * 365)) {
    return absl::OkStatus();
  }
  return FlagError("state_ttl", absl::FormatDuration(ttl),
                   " is not in (0, 8760h]");
}

}  // namespace

absl::Status ReadSavedStateFlags(SavedStateOptions* options) {
  options->state_dir = absl::GetFlag(FLAGS_state_dir);
  RWKVD_ASSIGN_OR_RETURN(options->state_store, ReadRedisFlags());
  if (options->state_store.has_value() && !options->state_dir.empty()) {
    return FlagError("state_store", "cannot be combined with --state_dir");
  }
  RWKVD_ASSIGN_OR_RETURN(
      options->state_store_bytes,
      MebibytesToBytes("state_store_mib", absl::GetFlag(FLAGS_state_store_mib),
                       1 << 30));
  RWKVD_ASSIGN_OR_RETURN(
      options->max_pending_states_bytes,
      MebibytesToBytes("max_pending_states_mib",
                       absl::GetFlag(FLAGS_max_pending_states_mib), 1 << 30));
  options->state_ttl = absl::GetFlag(FLAGS_state_ttl);
  return CheckTtl(options->state_ttl);
}

}  // namespace rwkvd
