// SPDX-License-Identifier: Apache-2.0
// Errors of the server itself, of deadlines and of cancellation.

#include <fcntl.h>
#include <grpc/support/time.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/server_builder.h>
#include <sys/stat.h>

#include <chrono>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "cli/grpc_status.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/exceptions.h"
#include "core/base/monotonic_clock.h"
#include "core/checkpoint/tensor_file.h"
#include "google/protobuf/descriptor.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "service/model_watch.h"
#include "service/reflection/reflection_streams.h"
#include "tests/service/errors/provoked.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/recording_sink.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

ProvokedError GetModelError(const TestServer& server) {
  grpc::ClientContext context;
  v1::GetModelResponse response;
  const grpc::Status status =
      server.NewStub()->GetModel(&context, {}, &response);
  return Ended(status, context, v1::GetModelRequest::descriptor());
}

ProvokedError ModelLoading() {
  absl::Notification may_load;
  TestServer server({}, [&] {
    may_load.WaitForNotification();
    return absl::OkStatus();
  });
  const ProvokedError error = GetModelError(server);
  may_load.Notify();
  return error;
}

// The status of a request of the engine that ends with `end`. A client would
// report its own deadline or cancellation instead.
ProvokedError EndOfRequest(absl::Time deadline, bool cancel) {
  TestServer server;
  RecordingSink sink;
  GenerateRequest request;
  request.prompt = {'a'};
  request.max_tokens = 5;
  request.deadline = deadline;
  const auto id = server.engine().Submit(std::move(request), &sink);
  RWKVD_CHECK(id.ok());
  if (cancel) server.engine().Cancel(*id);
  server.gate().Open();
  return Sent(sink.Wait().status);
}

// Answers calls after their deadline, as EndStatus does.
class LateService final : public grpc::health::v1::Health::Service {
 public:
  grpc::Status status() {
    ended_.WaitForNotification();
    return status_;
  }

 private:
  grpc::Status Check(grpc::ServerContext* context,
                     const grpc::health::v1::HealthCheckRequest*,
                     grpc::health::v1::HealthCheckResponse*) override {
    // The client's cancellation may arrive before the server's own deadline.
    gpr_sleep_until(context->raw_deadline());
    status_ =
        EndStatus(MakeError(ErrorReason::kCancelled, "cancelled"), context);
    ended_.Notify();
    return status_;
  }

  grpc::Status status_;
  absl::Notification ended_;
};

// Clients end calls at the deadline themselves, so this asks the server.
ProvokedError DeadlinePassed() {
  LateService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  const auto stub = grpc::health::v1::Health::NewStub(grpc::CreateChannel(
      "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(200));
  grpc::health::v1::HealthCheckResponse response;
  stub->Check(&context, {}, &response);
  return {.status = service.status()};
}

ProvokedError ModelFilesChanged() {
  const std::string path = testing::WriteCheckpoint(
      testing::MakeTempDirectory(), testing::RandomRwkv4({}, 1));
  auto files = TensorFile::Open(path);
  RWKVD_CHECK(files.ok());
  ModelWatch watch(*std::move(files));
  const timespec times[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  RWKVD_CHECK(utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
  watch.Check().IgnoreError();
  return Sent(watch.ForRequests());
}

ProvokedError ListTooLong() {
  TestServer server;
  server.model().name = std::string(5 << 20, 'x');  // no call uses it yet
  return GetModelError(server);
}

ProvokedError TooManyReflectionStreams() {
  using grpc::reflection::v1::ServerReflectionRequest;
  using grpc::reflection::v1::ServerReflectionResponse;
  using Stream = grpc::ClientReaderWriter<ServerReflectionRequest,
                                          ServerReflectionResponse>;
  const TestServer server;
  const auto channel = server.NewChannel();
  const grpc::internal::RpcMethod method(
      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
      grpc::internal::RpcMethod::BIDI_STREAMING, channel);
  struct Call {
    grpc::ClientContext context;
    std::unique_ptr<Stream> stream;
  };
  std::vector<std::unique_ptr<Call>> calls;
  ServerReflectionRequest request;
  request.set_list_services("");
  ServerReflectionResponse response;
  for (int i = 0; i <= ReflectionStreams::kMaxOpen; ++i) {
    calls.push_back(std::make_unique<Call>());
    Call& call = *calls.back();
    call.stream.reset(grpc::internal::ClientReaderWriterFactory<
                      ServerReflectionRequest,
                      ServerReflectionResponse>::Create(channel.get(), method,
                                                        &call.context));
    call.stream->Write(request);
    call.stream->Read(&response);
  }
  Call& first = *calls.front();
  const ProvokedError error = Ended(first.stream->Finish(), first.context,
                                    ServerReflectionRequest::descriptor());
  for (const auto& call : calls) call->context.TryCancel();
  return error;
}

ProvokedError ChannelzEntityNotFound() {
  Options options;
  options.channelz = true;
  const TestServer server(options);
  grpc::ClientContext context;
  // No socket has the id 0.
  const grpc::Status status =
      CallWithBytes(server.NewChannel(), "/grpc.channelz.v1.Channelz/GetSocket",
                    "", &context);
  return Ended(
      status, context,
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
          "grpc.channelz.v1.GetSocketRequest"));
}

// The error of a call with this token, or without one if it is empty, of a
// server where the token "t" is that of an identity with the role "metrics".
ProvokedError ErrorWithToken(const std::string& token) {
  Options options;
  options.auth_tokens = WriteTokenFile(TokenLine("m", "t", "roles=metrics"));
  const TestServer server(options);
  grpc::ClientContext context;
  if (!token.empty()) AddToken(token, &context);
  v1::TokenizeResponse response;
  return Ended(server.NewStub()->Tokenize(&context, {}, &response), context,
               v1::TokenizeRequest::descriptor());
}

}  // namespace

void AddServerProvokers(Provokers* provokers) {
  Provokers& on = *provokers;
  on[ErrorReason::kModelLoading] = ModelLoading;
  on[ErrorReason::kServerShuttingDown] = [] {
    TestServer server;
    server.engine().Drain(absl::InfinitePast());
    return GenerateError(server, SimpleRequest(1));
  };
  on[ErrorReason::kDeadlinePassed] = DeadlinePassed;
  on[ErrorReason::kDeadlineUnreachable] = [] {
    return EndOfRequest(MonotonicNow() - absl::Seconds(1), /*cancel=*/false);
  };
  on[ErrorReason::kCancelled] = [] {
    return EndOfRequest(absl::InfiniteFuture(), /*cancel=*/true);
  };
  on[ErrorReason::kListTooLong] = ListTooLong;
  on[ErrorReason::kChannelzEntityNotFound] = ChannelzEntityNotFound;
  on[ErrorReason::kCredentialMissing] = [] { return ErrorWithToken(""); };
  on[ErrorReason::kCredentialUnknown] = [] { return ErrorWithToken("x"); };
  on[ErrorReason::kRoleMissing] = [] { return ErrorWithToken("t"); };
  on[ErrorReason::kTooManyReflectionStreams] = TooManyReflectionStreams;
  on[ErrorReason::kOutOfMemory] = [] {
    return Sent(
        CatchExceptions([]() -> absl::Status { throw std::bad_alloc(); }));
  };
  on[ErrorReason::kModelFilesChanged] = ModelFilesChanged;
  on[ErrorReason::kInternalError] = [] {
    return Sent(CatchExceptions([]() -> absl::Status { throw 7; }));
  };
}

}  // namespace rwkvd
