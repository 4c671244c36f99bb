// SPDX-License-Identifier: Apache-2.0
#include "tests/service/test_server.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/text/load_tokenizer.h"
#include "service/auth/identity_table.h"
#include "tests/testing/fake_model.h"

namespace rwkvd {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

}  // namespace

absl::StatusOr<std::unique_ptr<ServedModel>> NewFakeServedModel(
    const Options& options, StepGate* gate, std::unique_ptr<StateStore> store) {
  auto model = std::make_unique<ServedModel>();
  model->name = "fake";
  model->fingerprint = "0123";
  model->layout = "native";
  model->isa = "none";
  auto fake = std::make_unique<FakeModel>(
      256, [gate](absl::Span<const Chunk>) { gate->Pass(); });
  const std::vector<NamedState> initial_states = {
      {kOwnStateName, fake->NewState()}, {"after-x", fake->StateAfter({'x'})}};
  model->model = std::move(fake);
  RWKVD_ASSIGN_OR_RETURN(model->tokenizer, LoadTokenizer("bytes"));
  model->pool = std::make_unique<ThreadPool>(1);
  if (store == nullptr) {
    RWKVD_ASSIGN_OR_RETURN(store, OpenStateStore(options));
  }
  model->states = NewSavedStates(options, *model->model, std::string(64, 'f'),
                                 std::move(store));
  model->engine = std::make_unique<Engine>(options.engine, model->model.get(),
                                           model->tokenizer.get(),
                                           model->pool.get(), initial_states);
  return model;
}

TestServer::TestServer(Options options,
                       std::function<absl::Status()> before_loading,
                       std::unique_ptr<StateStore> store)
    : store_(std::move(store)) {
  options.listen = "127.0.0.1:0";
  const bool serve_at_once = before_loading == nullptr;
  auto server = Server::Start(
      options, [this, options, before_loading = std::move(before_loading)](
                   LoadProgress&) { return Load(options, before_loading); });
  RWKVD_CHECK(server.ok());
  server_ = *std::move(server);
  waiter_ = std::thread([this] { end_ = server_->Wait(); });
  if (serve_at_once) WaitUntilServing();
}

TestServer::~TestServer() {
  gate_.Open();
  if (!waiter_.joinable()) return;
  server_->Drain();
  server_->Drain();  // ends the grace period
  waiter_.join();
}

absl::StatusOr<std::unique_ptr<ServedModel>> TestServer::Load(
    const Options& options,
    const std::function<absl::Status()>& before_loading) {
  if (before_loading != nullptr) RWKVD_RETURN_IF_ERROR(before_loading());
  RWKVD_ASSIGN_OR_RETURN(
      std::unique_ptr<ServedModel> model,
      NewFakeServedModel(options, &gate_, std::move(store_)));
  model_ = model.get();
  return model;
}

absl::Status TestServer::WaitForEnd() {
  waiter_.join();
  return end_;
}

std::shared_ptr<grpc::Channel> TestServer::NewChannel() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(
      server_->address(), grpc::InsecureChannelCredentials(), arguments);
}

std::unique_ptr<v1::RwkvService::Stub> TestServer::NewStub() const {
  return v1::RwkvService::NewStub(NewChannel());
}

std::unique_ptr<grpc::health::v1::Health::Stub> TestServer::NewHealthStub()
    const {
  return grpc::health::v1::Health::NewStub(NewChannel());
}

HealthCheckResponse::ServingStatus TestServer::Health(
    const std::string& service) const {
  grpc::ClientContext context;
  HealthCheckRequest request;
  request.set_service(service);
  HealthCheckResponse response;
  const grpc::Status status =
      NewHealthStub()->Check(&context, request, &response);
  return status.ok() ? response.status() : HealthCheckResponse::UNKNOWN;
}

void TestServer::WaitUntilServing() const {
  grpc::ClientContext context;
  const auto stub = NewHealthStub();
  const auto reader = stub->Watch(&context, HealthCheckRequest());
  HealthCheckResponse response;
  while (reader->Read(&response)) {
    if (response.status() == HealthCheckResponse::SERVING) {
      context.TryCancel();
    }
  }
  reader->Finish();
}

bool Eventually(const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return true;
}

grpc::Status CallWithBytes(const std::shared_ptr<grpc::Channel>& channel,
                           const std::string& method, const std::string& bytes,
                           grpc::ClientContext* context, std::string* answer) {
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  const grpc::Slice slice(bytes);
  const auto call = stub.PrepareUnaryCall(context, method,
                                          grpc::ByteBuffer(&slice, 1), &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  RWKVD_CHECK(queue.Next(&tag, &ok));
  grpc::Slice content;
  if (answer != nullptr && response.DumpToSingleSlice(&content).ok()) {
    answer->assign(content.begin(), content.end());
  }
  return status;
}

std::string WriteTokenFile(const std::string& text) {
  const char* const folder = std::getenv("TEST_TMPDIR");
  std::string path =
      absl::StrCat(folder == nullptr ? "/tmp" : folder, "/tokens.XXXXXX");
  const int fd = mkstemp(path.data());
  RWKVD_CHECK(fd >= 0);
  RWKVD_CHECK(write(fd, text.data(), text.size()) ==
              static_cast<ssize_t>(text.size()));
  close(fd);
  return path;
}

std::string TokenLine(const std::string& identity, const std::string& token,
                      const std::string& settings) {
  return absl::StrCat(identity, " sha256:", DigestOf(token), " ", settings,
                      "\n");
}

void AddToken(const std::string& token, grpc::ClientContext* context) {
  context->AddMetadata("authorization", absl::StrCat("Bearer ", token));
}

v1::GenerateRequest SimpleRequest(int max_tokens) {
  v1::GenerateRequest request;
  request.mutable_prompt()->set_text("a");
  request.set_max_tokens(max_tokens);
  request.mutable_sampling()->set_seed(1);
  return request;
}

}  // namespace rwkvd
