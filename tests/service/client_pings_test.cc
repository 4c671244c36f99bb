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

// gRPC closes the connection at the third ping that comes too early. It forgets
// earlier ones whenever it sends a window update, which may come at any time.
constexpr int kNumPings = 10;
constexpr int kManyPings = 10'000;

std::string Ping() {
  return http2::Frame(http2::kPing, 0, 0, std::string(8, 'p'));
}

// The number of pings that the server answers until it closes the connection,
// at most `num_pings`.
int NumAnswered(RawConnection& connection, int num_pings,
                absl::Duration pause) {
  connection.StartHttp2();
  for (int i = 0; i < num_pings; ++i) {
    if (!connection.Send(Ping()) ||
        !connection.ReadUntilFrame(RawConnection::kPing)) {
      return i;
    }
    absl::SleepFor(pause);
  }
  return num_pings;
}

// In a scale of 1 to 250. A longer pause than intended changes nothing.
TEST(ClientPingsTest, IdleClientMayPingAtTwiceTheMinimumInterval) {
  Options options;
  options.min_client_ping_interval = absl::Milliseconds(20);
  TestServer server(options);
  RawConnection connection(server.server().address());
  EXPECT_EQ(NumAnswered(connection, kNumPings, absl::Milliseconds(40)),
            kNumPings);
}

TEST(ClientPingsTest, FasterPingsEndTheConnection) {
  TestServer server;
  RawConnection connection(server.server().address());
  EXPECT_LT(NumAnswered(connection, kManyPings, absl::ZeroDuration()),
            kManyPings);
}

}  // namespace
}  // namespace rwkvd
