// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/test_server.h"
#include "tests/service/vllm/vllm_client.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::unique_ptr<vllm_pb::VllmEngine::Stub> NewVllmStub(
    const TestServer& server) {
  return vllm_pb::VllmEngine::NewStub(server.NewChannel());
}

TEST(VllmInfoTest, DescribesTheModel) {
  TestServer server;
  grpc::ClientContext context;
  vllm_pb::GetModelInfoResponse info;
  ASSERT_TRUE(
      NewVllmStub(server)
          ->GetModelInfo(&context, vllm_pb::GetModelInfoRequest(), &info)
          .ok());
  EXPECT_EQ(info.served_model_name(), server.model().name);
  EXPECT_EQ(info.model_path(), info.served_model_name());
  EXPECT_TRUE(info.is_generation());
  EXPECT_EQ(info.vocab_size(), 256u);
  EXPECT_THAT(info.eos_token_ids(), IsEmpty());
  EXPECT_GT(info.max_context_length(), 0u);
  EXPECT_THAT(info.architectures(),
              ElementsAre(testing::EndsWith("ForCausalLM")));
}

TEST(VllmInfoTest, ReportsTheLoad) {
  TestServer server;
  VllmClient client(server, SimpleVllmRequest(1000));
  server.gate().Permit(1);
  client.Read();
  grpc::ClientContext context;
  vllm_pb::GetLoadsResponse loads;
  ASSERT_TRUE(NewVllmStub(server)
                  ->GetLoads(&context, vllm_pb::GetLoadsRequest(), &loads)
                  .ok());
  EXPECT_EQ(loads.dp_rank_count(), 1);
  ASSERT_EQ(loads.loads_size(), 1);
  EXPECT_EQ(loads.loads(0).num_running_reqs(), 1);
  EXPECT_EQ(loads.loads(0).num_total_reqs(), 1);
  EXPECT_EQ(loads.loads(0).num_used_tokens(), 1001);
  EXPECT_EQ(loads.loads(0).max_running_requests(),
            server.engine().options().max_running);
  grpc::ClientContext other_context;
  vllm_pb::GetServerInfoResponse info;
  ASSERT_TRUE(NewVllmStub(server)
                  ->GetServerInfo(&other_context,
                                  vllm_pb::GetServerInfoRequest(), &info)
                  .ok());
  EXPECT_EQ(info.active_requests(), 1u);
  EXPECT_EQ(info.server_type(), "rwkvd");
  client.Cancel();
}

TEST(VllmInfoTest, IsHealthyUntilItDrains) {
  Options options;
  options.lame_duck = absl::Minutes(1);
  TestServer server(options);
  const auto stub = NewVllmStub(server);
  const auto is_healthy = [&] {
    grpc::ClientContext context;
    vllm_pb::HealthCheckResponse response;
    EXPECT_TRUE(
        stub->HealthCheck(&context, vllm_pb::HealthCheckRequest(), &response)
            .ok());
    return response.healthy();
  };
  EXPECT_TRUE(is_healthy());
  EXPECT_EQ(server.Health("vllm.grpc.engine.VllmEngine"),
            grpc::health::v1::HealthCheckResponse::SERVING);
  server.server().Drain();
  EXPECT_TRUE(Eventually([&] { return !is_healthy(); }));
}

TEST(VllmInfoTest, FlagTurnsTheServiceOff) {
  Options options;
  options.vllm = false;
  TestServer server(options);
  server.gate().Open();
  EXPECT_EQ(GenerateVllm(server, SimpleVllmRequest(1)).status.error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(server.Health("vllm.grpc.engine.VllmEngine"),
            grpc::health::v1::HealthCheckResponse::UNKNOWN);
}

TEST(VllmInfoTest, SendsTheTokenizerOfBytes) {
  TestServer server;
  grpc::ClientContext context;
  const auto stub = NewVllmStub(server);
  const auto reader =
      stub->GetTokenizer(&context, ::smg::grpc::common::GetTokenizerRequest());
  ::smg::grpc::common::GetTokenizerChunk chunk;
  std::string archive, sha256;
  while (reader->Read(&chunk)) {
    EXPECT_EQ(sha256, "");  // only the last one has it
    archive += chunk.data();
    sha256 = chunk.sha256();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(sha256.size(), 64u);
  EXPECT_EQ(archive.substr(0, 4), "PK\x03\x04");
}

}  // namespace
}  // namespace rwkvd
