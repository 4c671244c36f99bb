// SPDX-License-Identifier: Apache-2.0
#include "service/reflection/reflection.h"

#include <grpcpp/impl/codegen/rpc_service_method.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>

#include <utility>

#include "absl/strings/strip.h"
#include "google/protobuf/message.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"

namespace rwkvd {
namespace {

using Handler =
    grpc::internal::CallbackBidiHandler<grpc::ByteBuffer, grpc::ByteBuffer>;

constexpr char kV1[] =
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
constexpr char kV1Alpha[] =
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

std::vector<std::string> WithReflection(std::vector<std::string> services) {
  services.push_back("grpc.reflection.v1.ServerReflection");
  services.push_back("grpc.reflection.v1alpha.ServerReflection");
  return services;
}

}  // namespace

Reflection::Service::Service(const char* method, ReflectionStreams* streams) {
  AddMethod(new grpc::internal::RpcServiceMethod(
      method, grpc::internal::RpcMethod::BIDI_STREAMING, nullptr));
  MarkMethodCallback(
      0, new Handler([streams, method](grpc::CallbackServerContext* context) {
        return streams->Open(context, absl::StripPrefix(method, "/"));
      }));
}

Reflection::Reflection(std::vector<std::string> services,
                       Authorizer* authorizer)
    : streams_(WithReflection(std::move(services)), authorizer),
      v1_(kV1, &streams_),
      v1alpha_(kV1Alpha, &streams_) {
  // The descriptors, by which the protocol describes itself.
  google::protobuf::LinkMessageReflection<
      grpc::reflection::v1::ServerReflectionRequest>();
  google::protobuf::LinkMessageReflection<
      grpc::reflection::v1alpha::ServerReflectionRequest>();
}

void Reflection::Register(grpc::ServerBuilder& builder) {
  builder.RegisterService(&v1_);
  builder.RegisterService(&v1alpha_);
}

}  // namespace rwkvd
