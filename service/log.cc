// SPDX-License-Identifier: Apache-2.0
#include "service/log.h"

#include <grpc/support/log.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/monotonic_clock.h"
#include "core/base/quote.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace rwkvd {
namespace {

void Log(spdlog::level::level_enum level, absl::string_view text) {
  spdlog::logger* const logger = spdlog::default_logger_raw();
  if (!logger->should_log(level)) return;
  const std::string line = OneLine(text);  // a path may contain anything
  logger->log(level, spdlog::string_view_t(line.data(), line.size()));
}

void LogFromGrpc(gpr_log_func_args* args) {
  const bool error = args->severity == GPR_LOG_SEVERITY_ERROR;
  Log(error ? spdlog::level::warn : spdlog::level::debug,
      absl::StrCat("grpc: ", args->message));
}

}  // namespace

void InitLog(absl::string_view level) {
  auto logger = std::make_shared<spdlog::logger>(
      "rwkvd", std::make_shared<spdlog::sinks::stdout_sink_mt>());
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                      spdlog::pattern_time_type::utc);
  logger->set_level(spdlog::level::from_str(std::string(level)));
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
  gpr_set_log_function(&LogFromGrpc);
}

bool DebugLogEnabled() {
  return spdlog::default_logger_raw()->should_log(spdlog::level::debug);
}

void LogDebug(absl::string_view line) { Log(spdlog::level::debug, line); }
void LogInfo(absl::string_view line) { Log(spdlog::level::info, line); }
void LogWarning(absl::string_view line) { Log(spdlog::level::warn, line); }

bool LimitedLog::Warning(absl::string_view line) {
  const std::string limited = LineToLog(line, MonotonicNow());
  if (limited.empty()) return false;
  LogWarning(limited);
  return true;
}

std::string LimitedLog::LineToLog(absl::string_view line, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  if (now < next_) {
    ++num_dropped_;
    return "";
  }
  next_ = now + interval_;
  const int64_t dropped = std::exchange(num_dropped_, 0);
  if (dropped == 0) return std::string(line);
  return absl::StrCat(line, " (and ", dropped, " similar lines before)");
}

}  // namespace rwkvd
