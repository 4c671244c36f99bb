// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/create_channel.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "service/calls/rwkv_service.h"
#include "service/health/health_service.h"
#include "service/memory_budgets.h"
#include "service/metrics/metrics.h"
#include "service/vllm/vllm_service.h"
#include "service/work_pool.h"
#include "tests/service/test_server.h"
#include "tests/service/vllm/vllm_client.h"

namespace rwkvd {
namespace {

// The service on a real gRPC server, whose pool is busy with a task and has no
// room for others, and whose budget for responses is used up. Not thread-safe.
class BusyServer {
 public:
  BusyServer() {
    service_.Serve(model_->get());
    health_.SetServing(true);
    absl::Notification begun;
    const auto task = [&begun, this] {
      begun.Notify();
      released_.WaitForNotification();
    };
    EXPECT_TRUE(pool_.Add(1, task).ok());
    begun.WaitForNotification();
    EXPECT_TRUE(pool_.Add(1, [] {}).ok());
    EXPECT_FALSE(pool_.Add(1, [] {}).ok());
    used_ = budgets_.responses->Reserve(budgets_.responses->limit());
    EXPECT_TRUE(used_.has_value());
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterService(&vllm_);
    grpc_ = builder.BuildAndStart();
  }
  ~BusyServer() {
    released_.Notify();
    grpc_->Shutdown();
  }

  std::unique_ptr<vllm_pb::VllmEngine::Stub> NewStub() const {
    return vllm_pb::VllmEngine::NewStub(
        grpc::CreateChannel("127.0.0.1:" + std::to_string(port_),
                            grpc::InsecureChannelCredentials()));
  }

 private:
  const Options options_;
  StepGate gate_;
  absl::Notification released_;
  Metrics metrics_;
  MemoryBudgets budgets_{options_};
  std::optional<ByteBudget::Reservation> used_;
  CallMonitor monitor_{CallMonitor::Options(), budgets_.responses, &metrics_};
  WorkPool pool_{WorkPool::Options{.max_waiting = 1}, &metrics_};
  const absl::StatusOr<std::unique_ptr<ServedModel>> model_ =
      NewFakeServedModel(options_, &gate_);
  RwkvService service_{&metrics_, &budgets_, &pool_, &monitor_};
  HealthService health_{std::vector<std::string>{""}};
  VllmService vllm_{&service_, &health_};
  int port_ = 0;
  std::unique_ptr<grpc::Server> grpc_;
};

TEST(VllmHealthTest, CheckDoesNotWaitForTheWorkPool) {
  const BusyServer server;
  const auto stub = server.NewStub();
  grpc::ClientContext loads_context;
  vllm_pb::GetLoadsResponse loads;
  EXPECT_EQ(stub->GetLoads(&loads_context, vllm_pb::GetLoadsRequest(), &loads)
                .error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  grpc::ClientContext context;
  vllm_pb::HealthCheckResponse response;
  const grpc::Status status =
      stub->HealthCheck(&context, vllm_pb::HealthCheckRequest(), &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(response.healthy());
}

TEST(VllmHealthTest, MalformedCheckIsRefused) {
  const TestServer server;
  for (const size_t size : {size_t{1}, size_t{5000}}) {
    grpc::ClientContext context;
    const grpc::Status status = CallWithBytes(
        server.NewChannel(), "/vllm.grpc.engine.VllmEngine/HealthCheck",
        std::string(size, '\xff'), &context);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  }
}

}  // namespace
}  // namespace rwkvd
