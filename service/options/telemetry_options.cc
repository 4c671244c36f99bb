// SPDX-License-Identifier: Apache-2.0
#include "service/options/telemetry_options.h"

#include "absl/flags/flag.h"
#include "absl/strings/string_view.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "service/listener/listening_sockets.h"
#include "service/options/flag_checks.h"

ABSL_FLAG(std::string, log_level, "info",
          "The lowest level to log: debug, info, warn or error.");
ABSL_FLAG(std::string, log_format, "text",
          "The form of the log: text, or json for one JSON object per line.");
ABSL_FLAG(
    bool, access_log, true,
    "Log one line at the end of each call, at level info: its id, client, "
    "status, tokens and times, but nothing of prompts and outputs. On by "
    "default, since without it a request that a client complains about "
    "cannot be found. Lines that the log's reader does not keep up with "
    "are dropped.");

ABSL_FLAG(
    std::string, otlp_endpoint, "",
    "The address of an OpenTelemetry collector that receives the spans of "
    "calls by OTLP over gRPC, without TLS: host:port, usually with port "
    "4317, or unix:path. A client's traceparent decides whether its call "
    "is recorded; calls without one are. If empty, nothing is recorded.");

namespace rwkvd {
namespace {

absl::Status CheckLogLevel(absl::string_view level) {
  for (const char* known : {"debug", "info", "warn", "error"}) {
    if (level == known) return absl::OkStatus();
  }
  return FlagError("log_level", Quoted(level),
                   " is not debug, info, warn or error");
}

absl::Status CheckEndpoint(const std::string& endpoint) {
  if (endpoint.empty()) return absl::OkStatus();
  const absl::Status status = CheckListenAddress(endpoint);
  return status.ok() ? status : FlagError("otlp_endpoint", status.message());
}

absl::Status ReadLogFormat(LogFormat* format) {
  const std::string name = absl::GetFlag(FLAGS_log_format);
  if (name != "text" && name != "json") {
    return FlagError("log_format", Quoted(name), " is not text or json");
  }
  *format = name == "json" ? LogFormat::kJson : LogFormat::kText;
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadTelemetryFlags(TelemetryOptions* options) {
  options->log_level = absl::GetFlag(FLAGS_log_level);
  options->access_log = absl::GetFlag(FLAGS_access_log);
  options->otlp_endpoint = absl::GetFlag(FLAGS_otlp_endpoint);
  RWKVD_RETURN_IF_ERROR(CheckLogLevel(options->log_level));
  RWKVD_RETURN_IF_ERROR(CheckEndpoint(options->otlp_endpoint));
  return ReadLogFormat(&options->log_format);
}

}  // namespace rwkvd
