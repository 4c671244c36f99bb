// SPDX-License-Identifier: Apache-2.0
// GetServerInfo, GetLoad, and the load reports with the end of calls.

#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/telemetry/load_report.h"
#include "tests/service/test_server.h"
#include "xds/data/orca/v3/orca_load_report.pb.h"

namespace rwkvd {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using xds::data::orca::v3::OrcaLoadReport;

// One slot, so that a second request waits.
Options OneSlot() {
  Options options;
  options.engine.max_running = 1;
  options.engine.max_queued = 5;
  return options;
}

v1::GetLoadResponse LoadOf(TestServer& server) {
  grpc::ClientContext context;
  v1::GetLoadResponse load;
  const grpc::Status status = server.NewStub()->GetLoad(&context, {}, &load);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return load;
}

TEST(ServerInfoTest, HasVersionLimitsFlagsAndFeatures) {
  Options options = OneSlot();
  TestServer server(options);
  grpc::ClientContext context;
  v1::GetServerInfoResponse info;
  const grpc::Status status =
      server.NewStub()->GetServerInfo(&context, {}, &info);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_FALSE(info.version().empty());
  EXPECT_THAT(info.build(), HasSubstr("gRPC 1."));
  EXPECT_EQ(info.model(), "fake");
  EXPECT_GE(info.uptime_seconds(), 0);
  EXPECT_EQ(info.limits().max_running(), 1);
  EXPECT_EQ(info.limits().max_queued(), 5);
  EXPECT_EQ(info.limits().max_samples(), 1) << "not more than slots";
  EXPECT_FALSE(info.limits().has_max_queue_seconds());
  EXPECT_THAT(info.features(), Contains("load_reports"));
  EXPECT_THAT(info.features(), Contains("text"));
  EXPECT_THAT(info.features(), Not(Contains("traces")));
  std::map<std::string, std::string> flags;
  for (const v1::ServerFlag& flag : info.flags()) {
    EXPECT_TRUE(flags.empty() || flags.rbegin()->first < flag.name())
        << flag.name() << " is not sorted";
    flags[flag.name()] = flag.value();
  }
  EXPECT_EQ(flags["max_running"], "1");
  EXPECT_EQ(flags["chat_template"], "auto") << "the fake model has none";
  EXPECT_EQ(flags["weights"], "as_stored");
  EXPECT_EQ(flags.count("state_dir"), 0u) << "a path";
  EXPECT_EQ(flags.count("listen"), 0u) << "an address";
}

TEST(ServerInfoTest, ClientsLearnWhetherTokensAreDrafted) {
  for (const int32_t max_draft_tokens : {0, 6}) {
    Options options = OneSlot();
    options.engine.max_draft_tokens = max_draft_tokens;
    TestServer server(options);
    grpc::ClientContext info_context, model_context;
    v1::GetServerInfoResponse info;
    v1::GetModelResponse model;
    ASSERT_TRUE(server.NewStub()->GetServerInfo(&info_context, {}, &info).ok());
    ASSERT_TRUE(server.NewStub()->GetModel(&model_context, {}, &model).ok());
    EXPECT_EQ(model.max_draft_tokens(), max_draft_tokens);
    if (max_draft_tokens > 0) {
      EXPECT_THAT(info.features(), Contains("speculation"));
    } else {
      EXPECT_THAT(info.features(), Not(Contains("speculation")));
    }
  }
}

TEST(LoadTest, RunningAndQueuedRequestsAreReported) {
  TestServer server(OneSlot());
  EXPECT_EQ(LoadOf(server).utilization(), 0);
  const auto stub = server.NewStub();
  grpc::ClientContext first_context, second_context;
  const auto first = stub->Generate(&first_context, SimpleRequest(5));
  server.gate().WaitForArrivals(1);
  v1::GenerateRequest request = SimpleRequest(5);
  request.mutable_prompt()->set_text("four");
  const auto second = stub->Generate(&second_context, request);
  ASSERT_TRUE(Eventually([&] { return LoadOf(server).queue_length() == 1; }));
  const v1::GetLoadResponse load = LoadOf(server);
  EXPECT_EQ(load.slots_used(), 1);
  EXPECT_EQ(load.slots_total(), 1);
  EXPECT_EQ(load.queue_limit(), 5);
  EXPECT_EQ(load.queued_prompt_tokens(), 4);
  EXPECT_GT(load.oldest_wait_seconds(), 0);
  EXPECT_EQ(load.total_tokens(), 1 + 5 + 4 + 5);
  EXPECT_EQ(load.utilization(), 2);
  EXPECT_GT(load.state_memory().running_bytes(), 0);
  EXPECT_GT(load.state_memory().cached_limit_bytes(), 0);
  server.gate().Open();
  v1::GenerateResponse response;
  while (first->Read(&response)) continue;
  while (second->Read(&response)) continue;
  EXPECT_TRUE(first->Finish().ok());
  EXPECT_TRUE(second->Finish().ok());
  ASSERT_TRUE(Eventually([&] { return LoadOf(server).slots_used() == 0; }));
  const v1::GetLoadResponse after = LoadOf(server);
  EXPECT_GT(after.generated_tokens_per_second(), 0);
  EXPECT_GT(after.requests_per_second(), 0);
  EXPECT_EQ(after.oldest_wait_seconds(), 0);
  EXPECT_GT(after.state_memory().cached_bytes(), 0);
}

// gRPC's own clients do not show applications this metadata; the integration
// test of load signals reads it with another client.
TEST(LoadReportTest, HasTheLoadOfTheServer) {
  ServerLoad load;
  load.engine.running = 3;
  load.engine.slots = 4;
  load.engine.queued = 5;
  load.engine.max_queued = 10;
  load.engine.oldest_wait = absl::Seconds(2);
  load.engine.queued_prompt_tokens = 700;
  load.engine.total_tokens = 30;
  load.engine.max_total_tokens = 120;
  load.engine.generated_tokens_per_second = 8;
  load.engine.prompt_tokens_per_second = 9;
  load.engine.requests_per_second = 1.5;
  OrcaLoadReport report;
  const Usage usage = {.prompt_tokens = 1, .generated_tokens = 3};
  ASSERT_TRUE(report.ParseFromString(LoadReport(load, usage)));
  EXPECT_EQ(report.request_cost().at("prompt_tokens"), 1);
  EXPECT_EQ(report.request_cost().at("generated_tokens"), 3);
  EXPECT_EQ(report.application_utilization(), 2);
  EXPECT_EQ(report.rps_fractional(), 1.5);
  EXPECT_EQ(report.utilization().at("slots"), 0.75);
  EXPECT_EQ(report.utilization().at("queue"), 0.5);
  EXPECT_EQ(report.utilization().at("tokens"), 0.25);
  EXPECT_EQ(report.named_metrics().at("slots_used"), 3);
  EXPECT_EQ(report.named_metrics().at("queue_length"), 5);
  EXPECT_EQ(report.named_metrics().at("oldest_wait_seconds"), 2);
  EXPECT_EQ(report.named_metrics().at("queued_prompt_tokens"), 700);
  EXPECT_EQ(report.named_metrics().at("generated_tokens_per_second"), 8);
  EXPECT_EQ(report.named_metrics().at("prompt_tokens_per_second"), 9);
}

}  // namespace
}  // namespace rwkvd
