// SPDX-License-Identifier: Apache-2.0
#include "service/log.h"

#include <grpc/support/log.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/json.h"
#include "core/base/monotonic_clock.h"
#include "core/base/quote.h"
#include "service/line_queue.h"
#include "spdlog/sinks/base_sink.h"
#include "spdlog/spdlog.h"

namespace rwkvd {
namespace {

// Longer lines are cut.
constexpr size_t kMaxLineBytes = 16 << 10;

LogFormat log_format = LogFormat::kText;

// Writes as much as the standard output takes. Nothing can be done about an
// error.
void WriteToStdout(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(size));
  }
}

void ReportDropped(int64_t num_lines) {
  LogWarning(absl::StrCat(num_lines,
                          " lines of the log were dropped, because the "
                          "standard output is read too slowly"));
}

// Lives until the process ends, since any thread may still log.
LineQueue* line_queue = nullptr;

// Passes lines to the queue.
class QueueSink final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    line_queue->Push(absl::string_view(line.data(), line.size()));
  }
  void flush_() override {}
};

std::string JsonString(absl::string_view text) {
  return Json(std::string(text)).dump();  // text is valid UTF-8
}

// As a word, if it is one; else in quotes.
std::string TextValue(const std::string& value) {
  const bool is_word =
      !value.empty() && value.find_first_of(" \"=\\") == std::string::npos;
  return is_word ? value
                 : absl::StrCat("\"", absl::Utf8SafeCEscape(value), "\"");
}

std::string ValueOf(LogFormat format, const LogField& field) {
  if (const auto* integer = std::get_if<int64_t>(&field.value)) {
    return absl::StrCat(*integer);
  }
  if (const auto* number = std::get_if<double>(&field.value)) {
    return absl::StrFormat("%.6f", *number);
  }
  const std::string text = OneLine(std::get<std::string>(field.value));
  return format == LogFormat::kJson ? JsonString(text) : TextValue(text);
}

void Log(spdlog::level::level_enum level, absl::string_view text,
         absl::Span<const LogField> fields = {}) {
  spdlog::logger* const logger = spdlog::default_logger_raw();
  if (!logger->should_log(level)) return;
  const std::string line = FormatLine(log_format, text, fields);
  logger->log(level, spdlog::string_view_t(line.data(), line.size()));
}

void LogFromGrpc(gpr_log_func_args* args) {
  // Clients may cause errors at any rate, such as handshakes of TLS that fail.
  static auto* const errors = new LimitedLog();
  const std::string line = absl::StrCat("grpc: ", args->message);
  const bool is_error = args->severity == GPR_LOG_SEVERITY_ERROR;
  if (is_error && errors->Warning(line)) return;
  Log(spdlog::level::debug, line);
}

}  // namespace

void InitLog(absl::string_view level, LogFormat format) {
  log_format = format;
  line_queue = new LineQueue(WriteToStdout, ReportDropped);
  auto logger =
      std::make_shared<spdlog::logger>("rwkvd", std::make_shared<QueueSink>());
  logger->set_pattern(
      format == LogFormat::kJson
          ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
          : "%Y-%m-%dT%H:%M:%S.%eZ %l %v",
      spdlog::pattern_time_type::utc);
  logger->set_level(spdlog::level::from_str(std::string(level)));
  spdlog::set_default_logger(std::move(logger));
  gpr_set_log_function(&LogFromGrpc);
}

void FlushLog(absl::Duration time) {
  if (line_queue != nullptr) line_queue->Flush(time);
}

int64_t NumDroppedLogLines() {
  return line_queue == nullptr ? 0 : line_queue->num_dropped();
}

std::string FormatLine(LogFormat format, absl::string_view what,
                       absl::Span<const LogField> fields) {
  // A path may contain anything.
  const std::string text = OneLine(what.substr(0, kMaxLineBytes));
  const bool is_json = format == LogFormat::kJson;
  std::string line =
      is_json ? absl::StrCat("\"message\":", JsonString(text)) : text;
  for (const LogField& field : fields) {
    const std::string value = ValueOf(format, field);
    if (is_json) {
      absl::StrAppend(&line, ",", JsonString(field.name), ":", value);
    } else {
      absl::StrAppend(&line, " ", field.name, "=", value);
    }
  }
  return line;
}

bool DebugLogEnabled() {
  return spdlog::default_logger_raw()->should_log(spdlog::level::debug);
}

bool InfoLogEnabled() {
  return spdlog::default_logger_raw()->should_log(spdlog::level::info);
}

void LogDebug(absl::string_view line, absl::Span<const LogField> fields) {
  Log(spdlog::level::debug, line, fields);
}

void LogInfo(absl::string_view line) { Log(spdlog::level::info, line); }

void LogWarning(absl::string_view line, absl::Span<const LogField> fields) {
  Log(spdlog::level::warn, line, fields);
}

void LogEvent(absl::string_view what, absl::Span<const LogField> fields) {
  Log(spdlog::level::info, what, fields);
}

bool LimitedLog::Warning(absl::string_view line,
                         absl::Span<const LogField> fields) {
  const std::string limited = LineToLog(line, MonotonicNow());
  if (limited.empty()) return false;
  LogWarning(limited, fields);
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
