// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_HEALTH_HEALTH_SERVICE_H_
#define RWKVD_SERVICE_HEALTH_HEALTH_SERVICE_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace rwkvd {

// The health service with methods that receive and send messages in the wire
// format. gRPC's threads never parse a large message, whose sender chooses how
// much time and memory that takes; and a message that cannot be parsed gets an
// error with a reason, where gRPC's own would be UNIMPLEMENTED.
using RawHealthService =
    ::grpc::health::v1::Health::WithRawCallbackMethod_Check<
        ::grpc::health::v1::Health::WithRawCallbackMethod_List<
            ::grpc::health::v1::Health::WithRawCallbackMethod_Watch<
                ::grpc::health::v1::Health::Service>>>;

// The gRPC health service (grpc.health.v1). All its service names have the same
// health, NOT_SERVING at first. Unlike the service in gRPC's library, it bounds
// the number of Watch calls and can end them, so that they do not keep a
// draining server alive.
//
// Owned by the server, which destroys it after gRPC has shut down. Thread-safe.
class HealthService final : public RawHealthService {
 public:
  // The maximum number of Watch calls, and of those from one address. The
  // latter does not apply to Unix sockets.
  static constexpr size_t kMaxWatches = 1024;
  static constexpr size_t kMaxWatchesPerAddress = kMaxWatches / 4;

  // The maximum number of names, which bounds the answer of List.
  static constexpr size_t kMaxServices = 100;

  // `services` are the names that clients may ask for, at most kMaxServices; ""
  // is the whole server.
  explicit HealthService(std::vector<std::string> services);
  ~HealthService() override;

  // Sets the health of all names, and reports it to the Watch calls.
  void SetServing(bool serving) ABSL_LOCKS_EXCLUDED(mutex_, update_mutex_);

  // The health is NOT_SERVING from now on, and SetServing is ignored.
  void StopServing() ABSL_LOCKS_EXCLUDED(mutex_, update_mutex_);

  // Whether the health is SERVING.
  bool IsServing() ABSL_LOCKS_EXCLUDED(mutex_);

  // Does what StopServing does. In addition, Watch calls end with UNAVAILABLE
  // once they have reported NOT_SERVING, and so do later ones.
  void EndWatches() ABSL_LOCKS_EXCLUDED(mutex_, update_mutex_);

  // The health of a name. NOT_FOUND for an unknown one, INVALID_ARGUMENT for a
  // message that is malformed or long.
  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer* request,
                                  grpc::ByteBuffer* response) override
      ABSL_LOCKS_EXCLUDED(mutex_);

  // The health of every name. The request, which has no fields, is ignored.
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const grpc::ByteBuffer* request,
                                 grpc::ByteBuffer* response) override
      ABSL_LOCKS_EXCLUDED(mutex_);

  // The health of a name, now and after each change. SERVICE_UNKNOWN for an
  // unknown one. RESOURCE_EXHAUSTED if there are too many such calls, and
  // INVALID_ARGUMENT as for Check.
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Watch(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Response = ::grpc::health::v1::HealthCheckResponse;
  class WatchCall;

  // The health that calls report.
  struct Health {
    Response::ServingStatus status = Response::NOT_SERVING;
    bool final = false;   // does not become SERVING again
    bool ending = false;  // Watch calls end after they have reported it
  };

  bool IsKnown(const std::string& service) const;
  // Changes the health, unless that would revoke a final one, and reports it.
  void Set(Health health) ABSL_LOCKS_EXCLUDED(mutex_, update_mutex_);
  // Counts and registers a call. RESOURCE_EXHAUSTED if there are too many.
  absl::Status Add(std::shared_ptr<WatchCall> call)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remove(WatchCall* call) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::vector<std::string> services_;

  // Held while a change is reported, so that changes keep their order. No
  // function that gRPC calls takes it.
  absl::Mutex update_mutex_;
  absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(update_mutex_);
  Health health_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<WatchCall*, std::shared_ptr<WatchCall>> watches_
      ABSL_GUARDED_BY(mutex_);
  // The number of Watch calls by address of the client (see PeerAddress).
  absl::flat_hash_map<std::string, size_t> num_by_address_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_HEALTH_HEALTH_SERVICE_H_
