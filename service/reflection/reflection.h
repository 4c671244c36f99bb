// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_REFLECTION_REFLECTION_H_
#define RWKVD_SERVICE_REFLECTION_REFLECTION_H_

#include <grpcpp/impl/codegen/service_type.h>
#include <grpcpp/server_builder.h>

#include <string>
#include <vector>

#include "service/reflection/reflection_streams.h"

namespace rwkvd {

// gRPC's reflection protocol under both of its names, grpc.reflection.v1 and
// grpc.reflection.v1alpha, whose messages are the same. gRPC's own
// implementation serves only the second, and occupies a thread with each
// stream.
//
// Owned by the server; outlives gRPC's server. Thread-safe.
class Reflection {
 public:
  // `services` are the other services of the server. `authorizer` outlives this
  // object; without one, anyone may call.
  explicit Reflection(std::vector<std::string> services,
                      Authorizer* authorizer = nullptr);

  void Register(grpc::ServerBuilder& builder);

  // Ends the open streams, which would delay the end of the server.
  void Stop() { streams_.Stop(); }

 private:
  // ServerReflection in the package that the method's name contains.
  class Service final : public grpc::Service {
   public:
    // `method` is "/PACKAGE.ServerReflection/ServerReflectionInfo".
    Service(const char* method, ReflectionStreams* streams);
  };

  ReflectionStreams streams_;
  Service v1_;
  Service v1alpha_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_REFLECTION_REFLECTION_H_
