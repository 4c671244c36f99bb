// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LOG_H_
#define RWKVD_SERVICE_LOG_H_

#include "absl/strings/string_view.h"

namespace rwkvd {

// The log of the process. Each line goes to the standard output immediately,
// with the time (UTC) and the level. Thread-safe.

// Drops lines below `level`: "debug", "info", "warn" or "error". Also logs the
// messages of gRPC: its errors at warn, all others at debug.
void InitLog(absl::string_view level);

bool DebugLogEnabled();
void LogDebug(absl::string_view line);
void LogInfo(absl::string_view line);
void LogWarning(absl::string_view line);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LOG_H_
