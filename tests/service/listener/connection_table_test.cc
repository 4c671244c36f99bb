// SPDX-License-Identifier: Apache-2.0
#include "service/listener/connection_table.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "service/listener/owned_fd.h"

namespace rwkvd {
namespace {

using Decision = ConnectionTable::Decision;

OwnedFd NewSocket() { return OwnedFd(socket(AF_UNIX, SOCK_STREAM, 0)); }

std::string KeyOf(const char* ip) {
  sockaddr_storage peer = {};
  auto& ipv4 = reinterpret_cast<sockaddr_in&>(peer);
  auto& ipv6 = reinterpret_cast<sockaddr_in6&>(peer);
  if (inet_pton(AF_INET, ip, &ipv4.sin_addr) == 1) {
    peer.ss_family = AF_INET;
  } else {
    EXPECT_EQ(inet_pton(AF_INET6, ip, &ipv6.sin6_addr), 1) << ip;
    peer.ss_family = AF_INET6;
  }
  return PeerKey(peer);
}

TEST(PeerKeyTest, IsTheIpv4AddressOrTheIpv6Network) {
  EXPECT_NE(KeyOf("192.0.2.1"), KeyOf("192.0.2.2"));
  EXPECT_EQ(KeyOf("192.0.2.1"), KeyOf("::ffff:192.0.2.1"));
  EXPECT_EQ(KeyOf("2001:db8::1"), KeyOf("2001:db8::2:3"));
  EXPECT_NE(KeyOf("2001:db8::1"), KeyOf("2001:db8:0:1::1"));
  sockaddr_storage unix_peer = {};
  unix_peer.ss_family = AF_UNIX;
  EXPECT_EQ(PeerKey(unix_peer), "");
}

TEST(EndpointKeyTest, IsTheAddressWithThePort) {
  sockaddr_storage peer = {};
  auto& ipv4 = reinterpret_cast<sockaddr_in&>(peer);
  ipv4.sin_family = AF_INET;
  ipv4.sin_addr.s_addr = htonl(0x7F000001);
  ipv4.sin_port = htons(0x1234);
  EXPECT_EQ(EndpointKey(peer), std::string("\x7f\0\0\1\x12\x34", 6));
  sockaddr_storage unix_peer = {};
  unix_peer.ss_family = AF_UNIX;
  EXPECT_EQ(EndpointKey(unix_peer), "");
}

TEST(ConnectionTableTest, ShutDownEndsTheConnectionOfAnEndpoint) {
  ConnectionTable table({.total = 2, .per_peer = 2});
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  OwnedFd server(pair[0]);
  const OwnedFd client(pair[1]);
  EXPECT_EQ(table.Admit(server.get(), "p", "p1"), Decision::kAdmitted);
  EXPECT_FALSE(table.ShutDown("p2"));
  EXPECT_TRUE(table.ShutDown("p1"));
  char byte;
  EXPECT_EQ(read(client.get(), &byte, 1), 0);
  server.Close();
  EXPECT_FALSE(table.ShutDown("p1"));
}

TEST(ConnectionTableTest, ShutDownDoesNotTouchAnotherSocketOfTheSameNumber) {
  ConnectionTable table({.total = 2, .per_peer = 2});
  OwnedFd connection = NewSocket();
  const int number = connection.get();
  EXPECT_EQ(table.Admit(number, "p", "p1"), Decision::kAdmitted);
  connection.Close();
  const OwnedFd other = NewSocket();
  ASSERT_EQ(other.get(), number);
  EXPECT_FALSE(table.ShutDown("p1"));
}

TEST(ConnectionTableTest, LimitsAllConnections) {
  ConnectionTable table({.total = 2, .per_peer = 2});
  const OwnedFd a = NewSocket(), c = NewSocket();
  OwnedFd b = NewSocket();
  EXPECT_EQ(table.Admit(a.get(), "p"), Decision::kAdmitted);
  EXPECT_EQ(table.Admit(b.get(), "q"), Decision::kAdmitted);
  EXPECT_EQ(table.Admit(c.get(), "r"), Decision::kTooMany);
  EXPECT_EQ(table.Count(), 2);
  b.Close();
  EXPECT_EQ(table.Count(), 1);
  EXPECT_EQ(table.Admit(c.get(), "r"), Decision::kAdmitted);
}

TEST(ConnectionTableTest, LimitsConnectionsOfAPeer) {
  ConnectionTable table({.total = 10, .per_peer = 2});
  OwnedFd a = NewSocket();
  const OwnedFd b = NewSocket(), c = NewSocket(), d = NewSocket();
  EXPECT_EQ(table.Admit(a.get(), "p"), Decision::kAdmitted);
  EXPECT_EQ(table.Admit(b.get(), "p"), Decision::kAdmitted);
  EXPECT_EQ(table.Admit(c.get(), "p"), Decision::kTooManyOfPeer);
  EXPECT_EQ(table.Admit(c.get(), "q"), Decision::kAdmitted);
  a.Close();
  EXPECT_EQ(table.Admit(d.get(), "p"), Decision::kAdmitted);
}

TEST(ConnectionTableTest, DoesNotLimitConnectionsWithoutAPeerAddress) {
  ConnectionTable table({.total = 3, .per_peer = 1});
  const std::vector<OwnedFd> fds = [] {
    std::vector<OwnedFd> sockets;
    for (int i = 0; i < 4; ++i) sockets.push_back(NewSocket());
    return sockets;
  }();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(table.Admit(fds[i].get(), ""), Decision::kAdmitted);
  }
  EXPECT_EQ(table.Admit(fds[3].get(), ""), Decision::kTooMany);
}

TEST(ConnectionTableTest, DescriptorReusedForAFileIsNoConnection) {
  ConnectionTable table({.total = 1, .per_peer = 1});
  OwnedFd a = NewSocket();
  const int number = a.get();
  EXPECT_EQ(table.Admit(number, "p"), Decision::kAdmitted);
  a.Close();
  const OwnedFd file(open("/dev/null", O_RDONLY));
  ASSERT_EQ(file.get(), number);
  EXPECT_EQ(table.Count(), 0);
}

TEST(ConnectionTableTest, DescriptorReusedForAnotherSocketIsNotTheSame) {
  ConnectionTable table({.total = 1, .per_peer = 1});
  OwnedFd a = NewSocket();
  const int number = a.get();
  EXPECT_EQ(table.Admit(number, "p"), Decision::kAdmitted);
  a.Close();
  const OwnedFd other = NewSocket();
  ASSERT_EQ(other.get(), number);
  EXPECT_EQ(table.Count(), 0);
}

TEST(ConnectionTableTest, ConnectionWithAKnownNumberReplacesTheOld) {
  ConnectionTable table({.total = 1, .per_peer = 1});
  const OwnedFd a = NewSocket();
  EXPECT_EQ(table.Admit(a.get(), "p"), Decision::kAdmitted);
  EXPECT_EQ(table.Admit(a.get(), "q"), Decision::kAdmitted);
  EXPECT_EQ(table.Count(), 1);
}

// A flood at the limit must not examine every connection for each new one that
// is refused because of its peer.
TEST(ConnectionTableTest, PeerAtItsLimitExaminesOnlyItsOwnConnections) {
  static int num_examined;
  ConnectionTable table({.total = 100, .per_peer = 2}, [](int fd) {
    ++num_examined;
    return SocketInode(fd);
  });
  std::vector<OwnedFd> fds;
  for (int i = 0; i < 50; ++i) {
    fds.push_back(NewSocket());
    ASSERT_EQ(table.Admit(fds.back().get(), std::to_string(i / 2)),
              Decision::kAdmitted);
  }
  num_examined = 0;
  const OwnedFd surplus = NewSocket();
  EXPECT_EQ(table.Admit(surplus.get(), "0"), Decision::kTooManyOfPeer);
  EXPECT_EQ(num_examined, 2);
}

}  // namespace
}  // namespace rwkvd
