// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/connection.h"

#include <grpcpp/create_channel.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/error_details.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "google/protobuf/util/json_util.h"
#include "tools/rwkvctl/local_target.h"
#include "tools/rwkvctl/report.h"
#include "tools/rwkvctl/token_credentials.h"

ABSL_FLAG(std::string, server, "127.0.0.1:50051",
          "Address of rwkvd: host:port or unix:path.");
ABSL_FLAG(std::string, tls_ca, "",
          "A file with certificates in PEM form. The connection then uses TLS, "
          "and the server needs a certificate that one of these has issued.");
ABSL_FLAG(std::string, tls_cert, "",
          "A file with this client's certificate, for servers that need one.");
ABSL_FLAG(std::string, tls_key, "",
          "A file with the private key of --tls_cert.");
ABSL_FLAG(std::string, tls_server_name, "",
          "The name that the server's certificate must have, if it is not the "
          "one in --server.");
ABSL_FLAG(absl::Duration, timeout, absl::ZeroDuration(),
          "Deadline of each call; 0 for none.");
ABSL_FLAG(std::string, token_file, "",
          "A file with the token that names you to a server with "
          "--auth_tokens; rwkvctl auth makes one. Whoever can read the "
          "network can read it, unless the connection is encrypted.");
ABSL_FLAG(bool, json, false,
          "Print the server's messages as JSON, one per line.");

namespace rwkvd {
namespace {

// Short delays, to find a starting server soon after it listens.
constexpr int kFirstReconnectMs = 100;
constexpr int kMaxReconnectMs = 1000;
// gRPC uses its minimum backoff as the timeout of a connection attempt, too.
constexpr int kConnectTimeoutMs = 5000;

// The contents of the file that a flag names. InvalidArgument, with the flag
// and the path, if it cannot be read.
absl::StatusOr<std::string> ReadFlagFile(const char* flag,
                                         const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  if (path.empty() || !(text << file.rdbuf())) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": cannot read ", Quoted(path)));
  }
  return text.str();
}

// The files of TLS that the flags name; nullopt without --tls_ca, for a
// connection without TLS. InvalidArgument if the flags do not fit together.
absl::StatusOr<std::optional<grpc::SslCredentialsOptions>> ReadTlsFlags() {
  const std::string cert = absl::GetFlag(FLAGS_tls_cert);
  const std::string key = absl::GetFlag(FLAGS_tls_key);
  if (cert.empty() != key.empty()) {
    return absl::InvalidArgumentError(
        "--tls_cert and --tls_key belong together");
  }
  const std::string ca = absl::GetFlag(FLAGS_tls_ca);
  if (ca.empty()) {
    if (cert.empty() && absl::GetFlag(FLAGS_tls_server_name).empty()) {
      return std::nullopt;
    }
    return absl::InvalidArgumentError(
        "--tls_cert and --tls_server_name need --tls_ca");
  }
  grpc::SslCredentialsOptions options;
  RWKVD_ASSIGN_OR_RETURN(options.pem_root_certs, ReadFlagFile("--tls_ca", ca));
  if (cert.empty()) return options;
  RWKVD_ASSIGN_OR_RETURN(options.pem_cert_chain,
                         ReadFlagFile("--tls_cert", cert));
  RWKVD_ASSIGN_OR_RETURN(options.pem_private_key,
                         ReadFlagFile("--tls_key", key));
  return options;
}

// What CheckServer has read, for Connect. These are not credentials yet: gRPC
// starts threads with the first ones, which must not happen before the command
// has blocked its signals for them.
std::optional<grpc::SslCredentialsOptions>& TlsOptions() {
  static auto* const options = new std::optional<grpc::SslCredentialsOptions>;
  return *options;
}

std::shared_ptr<grpc::ChannelCredentials> NewCredentials() {
  return TlsOptions().has_value() ? grpc::SslCredentials(*TlsOptions())
                                  : grpc::InsecureChannelCredentials();
}

// The status's message. Messages of gRPC 1.51 about connections and deadlines
// are replaced by clearer ones, which name the server.
std::string ReadableMessage(const grpc::Status& status) {
  const std::string& message = status.error_message();
  const std::string server = absl::GetFlag(FLAGS_server);
  const size_t handshake = message.find("Ssl handshake failed");
  if (handshake != std::string::npos) {
    return absl::StrCat("TLS with ", server,
                        " failed: ", message.substr(handshake));
  }
  if (absl::StartsWith(message, "failed to connect") ||
      absl::StartsWith(message, "DNS resolution failed")) {
    // The last reason in the list is that of the operating system.
    const size_t reason = message.rfind(": ");
    return absl::StrCat(
        "no server at ", server, " (choose another with --server)",
        reason == std::string::npos ? "" : message.substr(reason));
  }
  if (message == "Deadline Exceeded") {
    return absl::StrCat("no response from ", server, " before the deadline");
  }
  return message;
}

// The token in --token_file, or an empty string.
absl::StatusOr<std::string> Token() {
  const std::string path = absl::GetFlag(FLAGS_token_file);
  if (path.empty()) return std::string();
  return ReadClientToken(path);
}

}  // namespace

std::shared_ptr<grpc::Channel> Connect(bool own_connection) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMs);
  arguments.SetMaxReceiveMessageSize(-1);  // scores of long texts are large
  const std::string server = absl::GetFlag(FLAGS_server);
  if (HasProxySetting() && IsLocalTarget(server)) {
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  }
  if (own_connection) arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const std::string name = absl::GetFlag(FLAGS_tls_server_name);
  if (!name.empty()) arguments.SetSslTargetNameOverride(name);
  const absl::StatusOr<std::string> token = Token();
  if (!token.ok() || token->empty()) {
    return grpc::CreateCustomChannel(server, NewCredentials(), arguments);
  }
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      server, NewCredentials(), arguments, TokenInterceptors(*token));
}

absl::Status CheckServer() {
  const absl::Status token = Token().status();
  if (!token.ok()) return token;
  const std::string server = absl::GetFlag(FLAGS_server);
  const size_t colon = server.rfind(':');
  if (colon != std::string::npos && colon > 0 && colon + 1 < server.size()) {
    RWKVD_ASSIGN_OR_RETURN(TlsOptions(), ReadTlsFlags());
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--server: ", Quoted(server), " is neither host:port nor unix:path"));
}

int ExitCode(const grpc::Status& status) {
  if (status.ok()) return kExitOk;
  const std::string reason = ReasonIn(status);
  PrintFailure(absl::Status(
      static_cast<absl::StatusCode>(status.error_code()),
      reason.empty()
          ? ReadableMessage(status)
          : absl::StrCat(ReadableMessage(status), " (", reason, ")")));
  return kExitFailed;
}

absl::Duration CallTimeout() { return absl::GetFlag(FLAGS_timeout); }

Call::Call(absl::Duration timeout) {
  if (timeout == absl::ZeroDuration()) timeout = CallTimeout();
  if (timeout > absl::ZeroDuration()) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  }
  signals_.Start([this](int) {
    interrupted_ = true;
    context_.TryCancel();
  });
}

Call::~Call() { signals_.Stop(); }

int Call::ExitCode(const grpc::Status& status) const {
  return interrupted_ ? kExitInterrupted : rwkvd::ExitCode(status);
}

bool WantJson() { return absl::GetFlag(FLAGS_json); }

void PrintJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  google::protobuf::util::MessageToJsonString(message, &json, options);
  std::printf("%s\n", json.c_str());
  std::fflush(stdout);
}

}  // namespace rwkvd
