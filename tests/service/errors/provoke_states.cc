// SPDX-License-Identifier: Apache-2.0
// Errors of saved states.

#include <sys/resource.h>

#include <filesystem>
#include <memory>
#include <string>

#include "core/base/check.h"
#include "core/model/state_file.h"
#include "service/states/initial_states.h"
#include "service/states/state_handle.h"
#include "tests/service/errors/provoked.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

Options InDirectory(const std::string& directory) {
  Options options;
  options.state_dir = directory;
  return options;
}

// Makes logits NaN after the byte "b".
void BreakModel(TestServer& server) {
  // The model is the fake one of the test, and no request uses it yet.
  auto* const model = const_cast<Model*>(server.model().model.get());
  static_cast<FakeModel*>(model)->BreakAfter('b');
}

ProvokedError PutError(const TestServer& server, const std::string& bytes) {
  grpc::ClientContext context;
  const auto stub = server.NewStub();
  v1::PutStateResponse response;
  const auto writer = stub->PutState(&context, &response);
  v1::PutStateRequest request;
  request.set_data(bytes);
  writer->Write(request);
  writer->WritesDone();
  return Ended(writer->Finish(), context, v1::PutStateRequest::descriptor());
}

ProvokedError GetError(const TestServer& server, const std::string& handle) {
  grpc::ClientContext context;
  const auto stub = server.NewStub();
  v1::GetStateRequest request;
  request.set_handle(handle);
  const auto reader = stub->GetState(&context, request);
  v1::GetStateResponse response;
  while (reader->Read(&response)) continue;
  return Ended(reader->Finish(), context, v1::GetStateRequest::descriptor());
}

// The bytes of a state file of the model with this fingerprint.
std::string StateFile(TestServer& server, char fingerprint_digit) {
  const Model& model = *server.model().model;
  auto bytes =
      SerializeState(model.NewState(),
                     IdentityOf(model, std::string(64, fingerprint_digit)), "");
  RWKVD_CHECK(bytes.ok());
  return *std::move(bytes);
}

// The handle of a state that the server has saved. The request that it belongs
// to has ended with a stop token.
std::string SaveState(TestServer& server) {
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(5);
  request.mutable_sampling()->add_allowed_tokens('c');
  request.add_stop_tokens('c');
  request.mutable_return_state()->set_at_end(true);
  request.mutable_return_state()->set_as_handle(true);
  grpc::ClientContext context;
  const auto stub = server.NewStub();
  const auto reader = stub->Generate(&context, request);
  std::string handle;
  v1::GenerateResponse response;
  while (reader->Read(&response)) handle = response.finish().state().handle();
  RWKVD_CHECK(reader->Finish().ok());
  return handle;
}

// The error of a store in a directory after its descriptors have run out, as
// that of a full disk is.
absl::Status ErrorWithoutDescriptors() {
  auto store =
      OpenStateStore(InDirectory(testing::MakeTempDirectory() + "/states"));
  RWKVD_CHECK(store.ok());
  rlimit before;
  RWKVD_CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit limit{3, before.rlim_max};
  RWKVD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  const auto handle = (*store)->Put("x", StoreTime::Now(), absl::Seconds(1));
  RWKVD_CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
  return handle.status();
}

}  // namespace

void AddStateProvokers(Provokers* provokers) {
  Provokers& on = *provokers;
  on[ErrorReason::kStateInvalid] = [] {
    return PutError(TestServer(), "nonsense");
  };
  on[ErrorReason::kStateNotResumable] = [] {
    TestServer server;
    v1::GenerateRequest request = SimpleRequest(9);
    request.set_state_handle(SaveState(server));
    request.set_resume(true);
    request.clear_prompt();
    return GenerateError(server, request);
  };
  on[ErrorReason::kStateNotFinite] = [] {
    TestServer server;
    BreakModel(server);
    v1::GenerateRequest request = SimpleRequest(9);
    request.set_state_handle(SaveState(server));
    request.mutable_prompt()->set_text("b");
    return GenerateError(server, request);
  };
  on[ErrorReason::kModelNotFinite] = [] {
    TestServer server;
    BreakModel(server);
    server.gate().Open();
    v1::GenerateRequest request = SimpleRequest(9);
    request.mutable_prompt()->set_text("b");
    return GenerateError(server, request);
  };
  on[ErrorReason::kStateOfOtherModel] = [] {
    TestServer server;
    return PutError(server, StateFile(server, 'e'));
  };
  on[ErrorReason::kHandlesNotDurable] = [] {
    v1::GenerateRequest request = SimpleRequest(1);
    request.mutable_return_state()->set_on_drain(true);
    request.mutable_return_state()->set_as_handle(true);
    return GenerateError(TestServer(), request);
  };
  on[ErrorReason::kStateNotFound] = [] {
    return GetError(TestServer(), "no\nhandle");
  };
  on[ErrorReason::kStateExpired] = [] {
    return GetError(TestServer(), NewStateHandle(absl::UnixEpoch()));
  };
  on[ErrorReason::kPendingStatesExhausted] = [] {
    Options options;
    options.max_pending_states_bytes = 1;  // a single state is always accepted
    TestServer server(options);
    v1::GenerateRequest request = SimpleRequest(1);
    request.set_state_handle(SaveState(server));
    const auto held = server.states().Load(request.state_handle());
    RWKVD_CHECK(held.ok());
    return GenerateError(server, request);
  };
  on[ErrorReason::kStateStoreFull] = [] {
    Options options;
    options.state_store_bytes = 10;
    TestServer server(options);
    return PutError(server, StateFile(server, 'f'));
  };
  on[ErrorReason::kStateDiskFull] = [] {
    return Sent(ErrorWithoutDescriptors());
  };
  on[ErrorReason::kStateDiskFailed] = [] {
    const std::string directory = testing::MakeTempDirectory() + "/states";
    TestServer server(InDirectory(directory));
    std::filesystem::remove_all(directory);
    return PutError(server, StateFile(server, 'f'));
  };
  on[ErrorReason::kStateStoreFailed] = [] {
    Options options;
    options.state_store.emplace();
    options.state_store->unix_path = testing::MakeTempDirectory() + "/none";
    TestServer server(options);
    return PutError(server, StateFile(server, 'f'));
  };
  on[ErrorReason::kSavedStateDamaged] = [] {
    const std::string directory = testing::MakeTempDirectory() + "/states";
    TestServer server(InDirectory(directory));
    const std::string handle = SaveState(server);
    testing::WriteFileOrDie(directory + "/" + handle + ".state", "nonsense");
    return GetError(server, handle);
  };
  on[ErrorReason::kResponseMemoryExhausted] = [] {
    Options options;
    options.response_memory_bytes = 100;
    return GetError(TestServer(options), "none");
  };
}

}  // namespace rwkvd
