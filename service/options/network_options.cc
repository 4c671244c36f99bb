// SPDX-License-Identifier: Apache-2.0
#include "service/options/network_options.h"

#include "absl/flags/flag.h"
#include "absl/strings/string_view.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "service/listener/listening_sockets.h"
#include "service/options/flag_checks.h"

ABSL_FLAG(std::string, listen, "127.0.0.1:50051",
          "The address of the gRPC server: host:port (port 0 chooses a free "
          "one; an IPv6 address in brackets) or unix:path.");
ABSL_FLAG(
    bool, insecure, false,
    "Allow --listen without TLS at an address that other hosts can reach. "
    "Whoever can connect then reads and writes everything, so only where "
    "a network policy or a proxy decides who can.");
ABSL_FLAG(std::string, unix_socket_mode, "",
          "The permissions of Unix sockets at which the server listens, as an "
          "octal number such as 0660. Who may connect needs write permission. "
          "If empty, the umask decides.");
ABSL_FLAG(std::string, health_listen, "",
          "An address without TLS at which only the health protocol is served, "
          "for the probes of Kubernetes, which know no TLS: host:port or "
          "unix:path. If empty, there is none.");
ABSL_FLAG(std::string, metrics_listen, "127.0.0.1:9464",
          "The address at which Prometheus finds /metrics: host:port or "
          "unix:path. If empty, there are no metrics.");
ABSL_FLAG(std::string, port_file, "",
          "A file to which the server writes its addresses once it listens, "
          "one per line: grpc=host:port, metrics=host:port, health=host:port.");
ABSL_FLAG(int32_t, max_connections, 0,
          "The maximum number of connections. Further ones are closed at once. "
          "0 derives it from the limit of open files and the memory limit.");
ABSL_FLAG(int32_t, max_connections_per_peer, 0,
          "The maximum number of connections from one IPv4 address or one IPv6 "
          "network of 64 bits. Further ones are closed at once. 0 stands for a "
          "quarter of --max_connections. Raise it if a proxy connects for many "
          "clients. It does not apply to a unix:path.");
ABSL_FLAG(int32_t, max_streams_per_connection,
          rwkvd::NetworkOptions().max_streams_per_connection,
          "The maximum number of calls at the same time on one connection. "
          "Clients wait before they start more. In [1, 10000].");
ABSL_FLAG(absl::Duration, max_connection_age, rwkvd::kMaxConnectionAge,
          "How long a client keeps its connection, plus or minus 10 %. Then it "
          "connects again, maybe to another server, without losing a request. "
          "In this way clients find new servers. 0 sets no limit.");
ABSL_FLAG(absl::Duration, max_connection_age_grace, absl::InfiniteDuration(),
          "How long requests on a connection may continue after "
          "--max_connection_age. The rest then ends with UNAVAILABLE. inf sets "
          "no limit.");
ABSL_FLAG(absl::Duration, unread_timeout, absl::Minutes(1),
          "How long a client may take to read the next message of a response. "
          "Then the call ends with RESOURCE_EXHAUSTED. inf sets no limit.");
ABSL_FLAG(absl::Duration, stream_idle_timeout, absl::Minutes(1),
          "How long a client may take to send the next message of a PutState "
          "or ScoreDocument call. Then the call ends with DEADLINE_EXCEEDED. "
          "inf sets no limit.");
ABSL_FLAG(bool, vllm, true,
          "Serve vllm.grpc.engine.VllmEngine, too, by which gateways with an "
          "OpenAI API call this server.");
ABSL_FLAG(bool, reflection, true,
          "Serve gRPC's reflection protocol, by which grpcurl and other tools "
          "learn the contract.");
ABSL_FLAG(bool, channelz, false,
          "Serve gRPC's channelz service, which shows the connections and the "
          "numbers of their calls, with the addresses of all clients. Without "
          "--auth_tokens, only for networks that you trust.");

namespace rwkvd {
namespace {

absl::Status CheckAddress(absl::string_view flag, absl::string_view address) {
  const absl::Status status = CheckListenAddress(address);
  return status.ok() ? status : FlagError(flag, status.message());
}

absl::Status CheckTimeout(absl::string_view flag, absl::Duration value) {
  if (value > absl::ZeroDuration()) return absl::OkStatus();
  return FlagError(flag, absl::FormatDuration(value), " is not more than 0");
}

absl::Status ReadAddresses(NetworkOptions* options) {
  options->listen = absl::GetFlag(FLAGS_listen);
  options->metrics_listen = absl::GetFlag(FLAGS_metrics_listen);
  options->port_file = absl::GetFlag(FLAGS_port_file);
  RWKVD_RETURN_IF_ERROR(CheckAddress("listen", options->listen));
  options->health_listen = absl::GetFlag(FLAGS_health_listen);
  if (!options->health_listen.empty()) {
    RWKVD_RETURN_IF_ERROR(
        CheckAddress("health_listen", options->health_listen));
  }
  if (options->metrics_listen.empty()) return absl::OkStatus();
  return CheckAddress("metrics_listen", options->metrics_listen);
}

absl::Status ReadUnixSocketMode(std::optional<mode_t>* mode) {
  const std::string text = absl::GetFlag(FLAGS_unix_socket_mode);
  if (text.empty()) return absl::OkStatus();
  constexpr size_t kMaxDigits = 4;
  if (text.size() > kMaxDigits ||
      text.find_first_not_of("01234567") != text.npos ||
      std::stoi(text, nullptr, 8) > 0777) {
    return FlagError("unix_socket_mode", Quoted(text),
                     " is not an octal number in [0, 0777]");
  }
  *mode = static_cast<mode_t>(std::stoi(text, nullptr, 8));
  return absl::OkStatus();
}

absl::Status ReadConnectionLimits(NetworkOptions* options) {
  options->max_connections = absl::GetFlag(FLAGS_max_connections);
  options->max_connections_per_peer =
      absl::GetFlag(FLAGS_max_connections_per_peer);
  options->max_streams_per_connection =
      absl::GetFlag(FLAGS_max_streams_per_connection);
  RWKVD_RETURN_IF_ERROR(
      CheckRange("max_connections", options->max_connections, 0, 1 << 20));
  RWKVD_RETURN_IF_ERROR(CheckRange("max_connections_per_peer",
                                   options->max_connections_per_peer, 0,
                                   1 << 20));
  return CheckRange("max_streams_per_connection",
                    options->max_streams_per_connection, 1, 10000);
}

// Milliseconds must fit into gRPC's settings.
absl::Status ReadConnectionAge(NetworkOptions* options) {
  const absl::Duration age = absl::GetFlag(FLAGS_max_connection_age);
  const absl::Duration grace = absl::GetFlag(FLAGS_max_connection_age_grace);
  options->max_connection_age = age;
  options->max_connection_age_grace = grace;
  if (age != absl::ZeroDuration() &&
      (age < absl::Seconds(1) || age > absl::Hours(24))) {
    return FlagError("max_connection_age", absl::FormatDuration(age),
                     " is neither 0 nor in [1s, 24h]");
  }
  if (grace == absl::InfiniteDuration()) return absl::OkStatus();
  return CheckDuration("max_connection_age_grace", grace);
}

absl::Status ReadTimeouts(NetworkOptions* options) {
  options->unread_timeout = absl::GetFlag(FLAGS_unread_timeout);
  options->stream_idle_timeout = absl::GetFlag(FLAGS_stream_idle_timeout);
  RWKVD_RETURN_IF_ERROR(
      CheckTimeout("unread_timeout", options->unread_timeout));
  return CheckTimeout("stream_idle_timeout", options->stream_idle_timeout);
}

}  // namespace

absl::Status ReadNetworkFlags(NetworkOptions* options) {
  options->vllm = absl::GetFlag(FLAGS_vllm);
  options->reflection = absl::GetFlag(FLAGS_reflection);
  options->channelz = absl::GetFlag(FLAGS_channelz);
  options->insecure = absl::GetFlag(FLAGS_insecure);
  RWKVD_RETURN_IF_ERROR(ReadUnixSocketMode(&options->unix_socket_mode));
  RWKVD_RETURN_IF_ERROR(ReadAddresses(options));
  RWKVD_RETURN_IF_ERROR(ReadConnectionLimits(options));
  RWKVD_RETURN_IF_ERROR(ReadConnectionAge(options));
  return ReadTimeouts(options);
}

}  // namespace rwkvd
