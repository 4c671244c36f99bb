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

// What every command ends with.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;         // the call, or what it told
inline constexpr int kExitUsage = 2;          // the command line
inline constexpr int kExitInterrupted = 130;  // Ctrl-C, as shells count it

// A channel to the server that --server names. It connects by itself, when
// first used; a connection of its own, if `own_connection`.
std::shared_ptr<grpc::Channel> Connect(bool own_connection = false);

// InvalidArgument, if --server cannot be the address of one.
absl::Status CheckServer();

// The exit code for the status of a call; tells a failure on the standard
// error.
int ExitCode(const grpc::Status& status);

// The value of --timeout: 0, if there is none.
absl::Duration CallTimeout();

// One call to the server: its context, with the deadline of --timeout, ended by
// Ctrl-C. Owned by a command; thread-compatible.
class Call {
 public:
  // A `timeout` other than the flag's, if given.
  explicit Call(absl::Duration timeout = absl::ZeroDuration());
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  grpc::ClientContext* context() { return &context_; }

  // The same, unless Ctrl-C ended the call.
  int ExitCode(const grpc::Status& status) const;

 private:
  grpc::ClientContext context_;
  std::atomic<bool> interrupted_{false};
  SignalWatcher signals_;  // its thread uses the others
};

// Whether --json was given.
bool WantJson();

// Prints a message as one line of JSON, with the contract's field names.
void PrintJson(const google::protobuf::Message& message);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CONNECTION_H_
