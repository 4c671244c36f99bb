// SPDX-License-Identifier: Apache-2.0
#include "service/peer_address.h"

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(PeerAddressTest, IsThePeerWithoutItsPort) {
  EXPECT_EQ(PeerAddress("ipv4:10.0.0.1:4711"), "ipv4:10.0.0.1");
}

TEST(PeerAddressTest, IsTheNetworkOfAnIpv6Address) {
  EXPECT_EQ(PeerAddress("ipv6:%5B::1%5D:4711"), "ipv6:::/64");
  EXPECT_EQ(PeerAddress("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:4711"),
            "ipv6:2001:db8:1:2::/64");
  EXPECT_EQ(PeerAddress("ipv6:%5B2001:db8:1:2::7%5D:1"),
            "ipv6:2001:db8:1:2::/64");
  EXPECT_EQ(PeerAddress("ipv6:%5Bfe80::1%25eth0%5D:1"), "ipv6:fe80::/64");
}

TEST(PeerAddressTest, IsEmptyForUnixSockets) {
  EXPECT_EQ(PeerAddress("unix:"), "");
  EXPECT_EQ(PeerAddress("unix:/tmp/a:1"), "");
  EXPECT_EQ(PeerAddress(""), "");
}

}  // namespace
}  // namespace rwkvd
