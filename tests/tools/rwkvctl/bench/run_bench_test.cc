// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/bench/run_bench.h"

#include <grpcpp/create_channel.h>

#include <memory>
#include <thread>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

// Benchmarks of a real server with a model without weights.
class RunBenchTest : public ::testing::Test {
 protected:
  static BenchOptions SmallBench() {
    BenchOptions options;
    options.concurrency = 4;
    options.prompt_tokens = {2, 5};
    options.output_tokens = {3, 3};
    return options;
  }

  BenchResult Run(const BenchOptions& options) {
    v1::GetModelResponse model;
    model.set_vocab_size(256);
    model.set_tokenizer_size(256);
    const auto channel = grpc::CreateChannel(
        server_.server().address(), grpc::InsecureChannelCredentials());
    return RunBench(options, Workload(options, model), {channel}, &stopper_);
  }

  static Options ServerOptions() {
    Options options;
    options.engine.max_prompt_tokens = 10;
    return options;
  }

  TestServer server_{ServerOptions()};
  Stopper stopper_;
};

TEST_F(RunBenchTest, ClosedLoopSendsTheGivenNumberOfRequests) {
  server_.gate().Open();
  BenchOptions options = SmallBench();
  options.requests = 25;
  const BenchResult result = Run(options);
  const Measurements& seen = result.measurements;
  EXPECT_EQ(seen.succeeded(), 25);
  EXPECT_EQ(seen.requests(), 25);
  EXPECT_EQ(server_.engine().Stats().prompt_tokens,
            static_cast<uint64_t>(seen.prompt_tokens()));
  EXPECT_EQ(seen.first_token().count(), 25);
  EXPECT_EQ(seen.between_messages().count(), seen.messages() - 25);
  EXPECT_GT(result.seconds, 0);
}

TEST_F(RunBenchTest, OpenLoopSendsTheGivenNumberOfRequests) {
  server_.gate().Open();
  BenchOptions options = SmallBench();
  options.requests = 25;
  options.rate = 2000;
  EXPECT_EQ(Run(options).measurements.succeeded(), 25);
}

TEST_F(RunBenchTest, EndOfDurationCancelsRunningRequests) {
  // The gate is closed, so no request can finish.
  BenchOptions options = SmallBench();
  options.duration = absl::Milliseconds(50);
  const Measurements seen = Run(options).measurements;
  EXPECT_EQ(seen.cut_short(), 4);
  EXPECT_EQ(seen.requests(), 4);
}

TEST_F(RunBenchTest, StopperEndsTheRunEarly) {
  BenchOptions options = SmallBench();
  options.duration = absl::InfiniteDuration();
  std::thread stop([this] {
    server_.gate().WaitForArrivals(1);
    stopper_.Stop();
  });
  const Measurements seen = Run(options).measurements;
  stop.join();
  EXPECT_EQ(seen.cut_short(), seen.requests());
  EXPECT_GE(seen.requests(), 1);
}

TEST_F(RunBenchTest, CountsExpiredDeadlinesAsFailures) {
  BenchOptions options = SmallBench();
  options.requests = 4;
  options.timeout = absl::Milliseconds(20);
  const Measurements seen = Run(options).measurements;
  EXPECT_EQ(seen.failures().at(grpc::StatusCode::DEADLINE_EXCEEDED).count, 4);
}

TEST_F(RunBenchTest, CountsRejectedRequestsAsFailures) {
  server_.gate().Open();
  BenchOptions options = SmallBench();
  options.prompt_tokens = {11, 11};  // one more than the server's limit
  options.requests = 3;
  const Measurements seen = Run(options).measurements;
  EXPECT_EQ(seen.failed(), 3);
  EXPECT_EQ(seen.failures().begin()->second.count, 3);
  EXPECT_NE(seen.failures().begin()->second.example, "");
}

}  // namespace
}  // namespace rwkvd
