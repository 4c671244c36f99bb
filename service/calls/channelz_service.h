// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_CHANNELZ_SERVICE_H_
#define RWKVD_SERVICE_CALLS_CHANNELZ_SERVICE_H_

#include <grpcpp/impl/codegen/service_type.h>

#include <cstdint>

#include "service/auth/authorizer.h"
#include "service/calls/call_monitor.h"

namespace rwkvd {

// gRPC's channelz protocol, which shows the connections of this process and the
// numbers of their calls, with the addresses of all clients. gRPC's own
// implementation answers everyone, and occupies a thread with each call until
// the client has read the answer.
//
// Each call is authorized before its message is parsed. It is answered by the
// thread of gRPC on which it arrives: gRPC collects what it shows in any case,
// and an answer has at most kMaxResults items. An answer that the client has
// not read is charged and given up like those of other calls.
//
// Owned by the server, which destroys it after gRPC has shut down. Thread-safe.
class ChannelzService final : public grpc::Service {
 public:
  static constexpr char kName[] = "grpc.channelz.v1.Channelz";

  // The most items of a list in one answer; clients ask for the next ones.
  static constexpr int64_t kMaxResults = 100;

  // Both outlive the service and its calls.
  ChannelzService(Authorizer* authorizer, CallMonitor* monitor);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_CHANNELZ_SERVICE_H_
