// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_SERVICE_TEST_SERVER_H_
#define RWKVD_TESTS_SERVICE_TEST_SERVER_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "rwkv/v1/rwkv.grpc.pb.h"
#include "service/options/options.h"
#include "service/server.h"
#include "tests/testing/step_gate.h"

namespace rwkvd {

namespace v1 = ::rwkv::v1;

// A model that has no weights and whose 256 tokens are the bytes. Every step of
// the model passes `gate`, which outlives it. Requests may start from the
// initial state "after-x", the state after reading "x". States are saved in
// `store`, or where `options` say if that is null.
absl::StatusOr<std::unique_ptr<ServedModel>> NewFakeServedModel(
    const Options& options, StepGate* gate,
    std::unique_ptr<StateStore> store = nullptr);

// A real server on a free port of the loopback interface, with the model of
// NewFakeServedModel. Its gate is closed at first and opened by the destructor.
// Not thread-safe.
class TestServer {
 public:
  // Returns once the server serves. With `before_loading` it returns earlier,
  // and the model is loaded after that function has returned OK. With `store`,
  // states are saved there instead of where `options` say.
  explicit TestServer(Options options = {},
                      std::function<absl::Status()> before_loading = nullptr,
                      std::unique_ptr<StateStore> store = nullptr);
  ~TestServer();

  Server& server() { return *server_; }
  StepGate& gate() { return gate_; }
  // These exist only once it serves. Tests change the model only before any
  // call uses it.
  ServedModel& model() { return *model_; }
  Engine& engine() { return *model_->engine; }
  SavedStates& states() { return *model_->states; }
  uint64_t NumFinished(FinishReason reason) {
    return engine().Stats().finished[static_cast<int>(reason)];
  }
  // Waits for Server::Wait and returns its result.
  absl::Status WaitForEnd();

  // Each stub has its own channel, and each channel its own connection, so that
  // test clients do not block each other.
  std::shared_ptr<grpc::Channel> NewChannel() const;
  std::unique_ptr<v1::RwkvService::Stub> NewStub() const;
  std::unique_ptr<grpc::health::v1::Health::Stub> NewHealthStub() const;
  // The current health of `service`.
  grpc::health::v1::HealthCheckResponse::ServingStatus Health(
      const std::string& service = "") const;
  void WaitUntilServing() const;

 private:
  absl::StatusOr<std::unique_ptr<ServedModel>> Load(
      const Options& options,
      const std::function<absl::Status()>& before_loading);

  StepGate gate_;
  std::unique_ptr<StateStore> store_;  // null once the model has it
  ServedModel* model_ = nullptr;       // the server's
  std::unique_ptr<Server> server_;
  absl::Status end_;
  std::thread waiter_;
};

// Polls until `condition` is true; returns false if it is not within 30
// seconds. For conditions of a running server that have no event; see
// tests/README.md.
bool Eventually(const std::function<bool()>& condition);

// Calls a unary method, "/PACKAGE.SERVICE/METHOD", with `bytes`, which need not
// be a message. Waits for the end of the call, and sets `answer`, unless it is
// null, to the message of the server.
grpc::Status CallWithBytes(const std::shared_ptr<grpc::Channel>& channel,
                           const std::string& method, const std::string& bytes,
                           grpc::ClientContext* context,
                           std::string* answer = nullptr);

// Writes a file for --auth_tokens, which only this user can write, and returns
// its path.
std::string WriteTokenFile(const std::string& text);

// A line of such a file, for an identity with this token and these settings.
std::string TokenLine(const std::string& identity, const std::string& token,
                      const std::string& settings);

// Makes a call that of the token's identity.
void AddToken(const std::string& token, grpc::ClientContext* context);

// A request with a prompt of one token.
v1::GenerateRequest SimpleRequest(int max_tokens);

}  // namespace rwkvd

#endif  // RWKVD_TESTS_SERVICE_TEST_SERVER_H_
