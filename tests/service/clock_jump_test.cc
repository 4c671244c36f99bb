// SPDX-License-Identifier: Apache-2.0
// Somebody sets the clock of the system while the server drains, has requests
// in its queue, or has promised to keep something. In this process, the clock
// is replaced by one that a test sets.

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "core/base/monotonic_clock.h"
#include "core/engine/request.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/calls/generate_client.h"
#include "tests/service/test_server.h"

namespace {

std::atomic<int64_t> seconds_ahead{0};

}  // namespace

// All libraries call this instead of the function of the C library.
extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const auto result = static_cast<int>(syscall(SYS_clock_gettime, clock, time));
  if (clock == CLOCK_REALTIME) time->tv_sec += seconds_ahead.load();
  return result;
}

namespace rwkvd {
namespace {

class ClockJumpTest : public ::testing::TestWithParam<absl::Duration> {
 protected:
  ~ClockJumpTest() override { seconds_ahead = 0; }

  static void Jump() { seconds_ahead += absl::ToInt64Seconds(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(ForwardAndBack, ClockJumpTest,
                         ::testing::Values(absl::Hours(2), -absl::Hours(2)),
                         [](const auto& info) {
                           return info.param > absl::ZeroDuration() ? "Forward"
                                                                    : "Back";
                         });

// Starts to drain, and returns once the engine drains and knows the end of the
// grace period.
void DrainUntilTheEngineDrains(TestServer& server) {
  server.server().Drain();
  GenerateRequest request;
  request.prompt = {'a'};
  request.max_tokens = 1;
  ASSERT_TRUE(Eventually([&] {
    return absl::IsUnavailable(server.engine().Reserve(request, 1).status());
  }));
}

Options OneAtATime() {
  Options options;
  options.engine.max_running = 1;
  return options;
}

TEST_P(ClockJumpTest, IsSeenBySystemTimeOnly) {
  const absl::Time system = absl::Now(), monotonic = MonotonicNow();
  Jump();
  EXPECT_LT(absl::AbsDuration(absl::Now() - system - GetParam()),
            absl::Minutes(30));
  EXPECT_GE(MonotonicNow(), monotonic);
  EXPECT_LT(MonotonicNow() - monotonic, absl::Minutes(30));
}

TEST_P(ClockJumpTest, DoesNotEndTheGracePeriod) {
  Options options;
  options.drain_grace = absl::Hours(1);
  TestServer server(options);
  Client client(server, SimpleRequest(3));
  server.gate().WaitForArrivals(1);
  DrainUntilTheEngineDrains(server);
  Jump();
  server.gate().Open();
  EXPECT_TRUE(client.Finish().status.ok());
  EXPECT_TRUE(server.WaitForEnd().ok());
}

TEST_P(ClockJumpTest, DoesNotProlongTheGracePeriod) {
  Options options;
  options.drain_grace = absl::Milliseconds(100);
  TestServer server(options);
  Client client(server, SimpleRequest(1 << 20));
  server.gate().WaitForArrivals(1);
  DrainUntilTheEngineDrains(server);
  Jump();
  server.gate().Open();
  EXPECT_EQ(client.Finish().status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(server.WaitForEnd().ok());
}

TEST_P(ClockJumpTest, DoesNotProlongTheLameDuckTime) {
  Options options;
  options.lame_duck = absl::Milliseconds(100);
  TestServer server(options);
  server.server().Drain();
  Jump();
  EXPECT_TRUE(server.WaitForEnd().ok());
}

TEST_P(ClockJumpTest, DoesNotRefuseQueuedRequests) {
  Options options = OneAtATime();
  options.engine.max_queue_time = absl::Hours(1);
  TestServer server(options);
  Client running(server, SimpleRequest(2));
  server.gate().WaitForArrivals(1);
  // The second request has a deadline, too.
  Client queued(server, SimpleRequest(2), absl::Hours(1));
  ASSERT_TRUE(Eventually([&] { return server.engine().Stats().queued == 1; }));
  Jump();
  server.gate().Open();
  EXPECT_TRUE(running.Finish().status.ok());
  const Answer answer = queued.Finish();
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_GE(answer.finish.times().queue_seconds(), 0);
  EXPECT_LT(answer.finish.times().queue_seconds(), 1800);
}

TEST_P(ClockJumpTest, DoesNotUnpinAPrefix) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(1);
  request.mutable_pin()->set_name("p");
  request.mutable_pin()->set_ttl_seconds(3600);
  ASSERT_TRUE(Generate(server, request).status.ok());
  Jump();
  grpc::ClientContext context;
  v1::ListPinnedPrefixesResponse pins;
  ASSERT_TRUE(server.NewStub()->ListPinnedPrefixes(&context, {}, &pins).ok());
  ASSERT_EQ(pins.prefixes_size(), 1);
  EXPECT_GT(pins.prefixes(0).expires_in_seconds(), 1800);
  EXPECT_LE(pins.prefixes(0).expires_in_seconds(), 3600);
}

}  // namespace
}  // namespace rwkvd
