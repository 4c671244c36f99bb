// SPDX-License-Identifier: Apache-2.0
//
// Keepalive pings of clients without calls.
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/service/listener/http2_frames.h"
#include "tests/service/listener/raw_connection.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

// gRPC closes the connection at the third ping that comes too early.
constexpr int kNumPings = 10;

std::string Ping() {
  return http2::Frame(http2::kPing, 0, 0, std::string(8, 'p'));
}

// The number of pings that the server answers until it closes the connection,
// at most kNumPings.
int NumAnswered(RawConnection& connection, absl::Duration pause) {
  connection.StartHttp2();
  for (int i = 0; i < kNumPings; ++i) {
    if (!connection.Send(Ping()) ||
        !connection.ReadUntilFrame(RawConnection::kPing)) {
      return i;
    }
    absl::SleepFor(pause);
  }
  return kNumPings;
}

// In a scale of 1 to 250. A longer pause than intended changes nothing.
TEST(ClientPingsTest, IdleClientMayPingAtTwiceTheMinimumInterval) {
  Options options;
  options.min_client_ping_interval = absl::Milliseconds(20);
  TestServer server(options);
  RawConnection connection(server.server().address());
  EXPECT_EQ(NumAnswered(connection, absl::Milliseconds(40)), kNumPings);
}

TEST(ClientPingsTest, FasterPingsEndTheConnection) {
  TestServer server;
  RawConnection connection(server.server().address());
  EXPECT_LT(NumAnswered(connection, absl::ZeroDuration()), kNumPings);
}

}  // namespace
}  // namespace rwkvd
