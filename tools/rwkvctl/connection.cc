// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/connection.h"

#include <grpcpp/create_channel.h>

#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/quote.h"
#include "google/protobuf/util/json_util.h"
#include "tools/rwkvctl/report.h"

ABSL_FLAG(std::string, server, "127.0.0.1:50051",
          "Where rwkvd listens: host:port or unix:path.");
ABSL_FLAG(absl::Duration, timeout, absl::ZeroDuration(),
          "How long the call may take; 0 for as long as it likes.");
ABSL_FLAG(bool, json, false,
          "Print what the server sends as JSON, a message a line.");

namespace rwkvd {
namespace {

// A server that is just starting is found soon after it listens.
constexpr int kFirstReconnectMs = 100;
// gRPC takes its least backoff for the time that an attempt may take, too.
constexpr int kConnectTimeoutMs = 5000;
constexpr int kMaxReconnectMs = 1000;

// `message`, made clear where gRPC, in version 1.51, says little or too much.
std::string Clarify(const grpc::Status& status) {
  const std::string& message = status.error_message();
  const std::string server = absl::GetFlag(FLAGS_server);
  if (absl::StartsWith(message, "failed to connect") ||
      absl::StartsWith(message, "DNS resolution failed")) {
    // The last of the reasons is the operating system's.
    const size_t reason = message.rfind(": ");
    return absl::StrCat(
        "no server at ", server, " (--server names another)",
        reason == std::string::npos ? "" : message.substr(reason));
  }
  if (message == "Deadline Exceeded") {
    return absl::StrCat("no answer in time from ", server);
  }
  return message;
}

}  // namespace

std::shared_ptr<grpc::Channel> Connect(bool own_connection) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMs);
  arguments.SetMaxReceiveMessageSize(-1);  // long scores make long messages
  if (own_connection) arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(absl::GetFlag(FLAGS_server),
                                   grpc::InsecureChannelCredentials(),
                                   arguments);
}

absl::Status CheckServer() {
  const std::string server = absl::GetFlag(FLAGS_server);
  const size_t colon = server.rfind(':');
  if (colon != std::string::npos && colon > 0 && colon + 1 < server.size()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--server: ", Quoted(server), " is neither host:port nor unix:path"));
}

int ExitCode(const grpc::Status& status) {
  if (status.ok()) return kExitOk;
  TellFailure(absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                           Clarify(status)));
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
