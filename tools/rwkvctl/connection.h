// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_CONNECTION_H_
#define RWKVD_TOOLS_RWKVCTL_CONNECTION_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/signal_watcher.h"
#include "google/protobuf/message.h"
#include "rwkv/v1/rwkv.grpc.pb.h"

namespace rwkvd {

// Exit codes of all commands.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;         // a call failed, or its result is
                                              // negative (health, bench)
inline constexpr int kExitUsage = 2;          // wrong command line
inline constexpr int kExitInterrupted = 130;  // Ctrl-C; 128 + SIGINT

// Returns a channel to the server given by --server, which connects on first
// use, and whose calls carry the token of --token_file. Channels share one TCP
// connection unless `own_connection` is set.
std::shared_ptr<grpc::Channel> Connect(bool own_connection = false);

// Reads the files of TLS that the flags name, if any, for Connect.
// InvalidArgument if --server is not an address, if the flags of TLS do not fit
// together or name files that cannot be read, or if --token_file has no token;
// or the error of the operating system.
absl::Status CheckServer();

// Returns the exit code for the status of a call. Prints a failure to stderr.
int ExitCode(const grpc::Status& status);

// The value of --timeout; 0 for no timeout.
absl::Duration CallTimeout();

// The context of one call to the server: sets the deadline, and cancels the
// call on Ctrl-C. Owned by a command; thread-compatible.
class Call {
 public:
  // `timeout` replaces the value of --timeout unless it is 0.
  explicit Call(absl::Duration timeout = absl::ZeroDuration());
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  grpc::ClientContext* context() { return &context_; }

  // As rwkvd::ExitCode, but kExitInterrupted if Ctrl-C cancelled the call.
  int ExitCode(const grpc::Status& status) const;

 private:
  grpc::ClientContext context_;
  std::atomic<bool> interrupted_{false};
  SignalWatcher signals_;  // last member: its thread uses those above
};

// Whether --json was given.
bool WantJson();

// Prints a message as one line of JSON, with the field names of the .proto
// file.
void PrintJson(const google::protobuf::Message& message);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CONNECTION_H_
