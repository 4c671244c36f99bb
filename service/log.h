// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LOG_H_
#define RWKVD_SERVICE_LOG_H_

#include "absl/strings/string_view.h"

namespace rwkvd {

// The process's log: a line each on the standard output, with time (UTC) and
// level, written at once. Thread-safe.

// Lines below `level` ("debug", "info", "warn", "error") are dropped. Lines of
// gRPC itself join at debug, its errors at warn.
void InitLog(absl::string_view level);

bool DebugLogEnabled();
void LogDebug(absl::string_view line);
void LogInfo(absl::string_view line);
void LogWarning(absl::string_view line);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LOG_H_
