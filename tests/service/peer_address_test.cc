// SPDX-License-Identifier: Apache-2.0
#include "service/peer_address.h"

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(PeerAddressTest, IsThePeerWithoutItsPort) {
  EXPECT_EQ(PeerAddress("ipv4:10.0.0.1:4711"), "ipv4:10.0.0.1");
  EXPECT_EQ(PeerAddress("ipv6:%5B::1%5D:4711"), "ipv6:%5B::1%5D");
}

TEST(PeerAddressTest, IsEmptyForUnixSockets) {
  EXPECT_EQ(PeerAddress("unix:"), "");
  EXPECT_EQ(PeerAddress("unix:/tmp/a:1"), "");
  EXPECT_EQ(PeerAddress(""), "");
}

}  // namespace
}  // namespace rwkvd
