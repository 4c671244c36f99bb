// SPDX-License-Identifier: Apache-2.0
#include "service/goaway.h"

#include <grpc/grpc.h>
#include <grpc/support/time.h>
#include <grpcpp/alarm.h>

#include "absl/functional/function_ref.h"
#include "absl/synchronization/notification.h"

// Member functions of grpc_core::Server, which is what grpc_server stands for.
// libgrpc exports them, but its headers do not declare them (docs/adr/0017). A
// library without them is an error at link time.
extern "C" {
void rwkvd_grpc_send_goaways(grpc_server* server) __asm__(
    "_ZN9grpc_core6Server11SendGoawaysEv");
bool rwkvd_grpc_has_open_connections(grpc_server* server) __asm__(
    "_ZN9grpc_core6Server18HasOpenConnectionsEv");
}

namespace rwkvd {
namespace {

// Runs `function` on a thread of gRPC, since functions of its core need the
// execution context of such a thread, and waits for its end.
void RunOnGrpcThread(absl::FunctionRef<void()> function) {
  absl::Notification done;
  grpc::Alarm alarm;
  // In the past, so that no timer of gRPC is involved, which may be late if the
  // clock of the system is set.
  alarm.Set(gpr_inf_past(GPR_CLOCK_MONOTONIC), [&](bool) {
    function();
    done.Notify();
  });
  done.WaitForNotification();
}

}  // namespace

void SendGoaway(grpc::Server& server) {
  RunOnGrpcThread([&] { rwkvd_grpc_send_goaways(server.c_server()); });
}

bool HasConnections(grpc::Server& server) {
  return rwkvd_grpc_has_open_connections(server.c_server());
}

}  // namespace rwkvd
