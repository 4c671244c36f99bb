// SPDX-License-Identifier: Apache-2.0
#include "service/listener/listening_sockets.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/listener/short_folder.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::SizeIs;
using ::testing::StartsWith;

std::string ErrorOf(const std::string& address) {
  const auto sockets = ListeningSockets::Open(address);
  return sockets.ok() ? "" : std::string(sockets.status().message());
}

std::string PortOf(const ListeningSockets& sockets) {
  const std::string& address = sockets.address();
  return address.substr(address.rfind(':') + 1);
}

bool Connects(const char* host, const std::string& port) {
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* info = nullptr;
  if (getaddrinfo(host, port.c_str(), &hints, &info) != 0) return false;
  const OwnedFd fd(socket(info->ai_family, SOCK_STREAM, 0));
  const bool connected =
      connect(fd.get(), info->ai_addr, info->ai_addrlen) == 0;
  freeaddrinfo(info);
  return connected;
}

// Whether this system has the IPv6 address ::1.
bool HasIpv6() { return ListeningSockets::Open("[::1]:0").ok(); }

TEST(ListeningSocketsTest, AddressHasTheChosenPort) {
  const auto sockets = ListeningSockets::Open("127.0.0.1:0");
  ASSERT_TRUE(sockets.ok()) << sockets.status();
  EXPECT_THAT(sockets->address(), MatchesRegex("127\\.0\\.0\\.1:[1-9][0-9]*"));
  EXPECT_THAT(sockets->fds(), SizeIs(1));
  EXPECT_FALSE(sockets->is_unix());
  EXPECT_TRUE(Connects("127.0.0.1", PortOf(*sockets)));
  EXPECT_FALSE(Connects("127.0.0.2", PortOf(*sockets)));
}

TEST(ListeningSocketsTest, ConnectionsSendWithoutDelay) {
  const auto sockets = ListeningSockets::Open("127.0.0.1:0");
  ASSERT_TRUE(sockets.ok());
  int value = 0;
  socklen_t size = sizeof(value);
  ASSERT_EQ(
      getsockopt(sockets->fds()[0], IPPROTO_TCP, TCP_NODELAY, &value, &size),
      0);
  EXPECT_NE(value, 0);
}

TEST(ListeningSocketsTest, Ipv6AddressIsWrittenInBrackets) {
  if (!HasIpv6()) GTEST_SKIP() << "no IPv6";
  const auto sockets = ListeningSockets::Open("[::1]:0");
  ASSERT_TRUE(sockets.ok()) << sockets.status();
  EXPECT_THAT(sockets->address(), StartsWith("[::1]:"));
  EXPECT_TRUE(Connects("::1", PortOf(*sockets)));
  EXPECT_FALSE(Connects("127.0.0.1", PortOf(*sockets)));
}

TEST(ListeningSocketsTest, WildcardsIncludeBothFamilies) {
  for (const char* address : {"0.0.0.0:0", "[::]:0"}) {
    const auto sockets = ListeningSockets::Open(address);
    ASSERT_TRUE(sockets.ok()) << sockets.status();
    EXPECT_TRUE(Connects("127.0.0.1", PortOf(*sockets))) << address;
    EXPECT_EQ(Connects("::1", PortOf(*sockets)), HasIpv6()) << address;
  }
}

TEST(ListeningSocketsTest, NameStandsForAllItsAddressesAtOnePort) {
  const auto sockets = ListeningSockets::Open("localhost:0");
  ASSERT_TRUE(sockets.ok()) << sockets.status();
  EXPECT_THAT(sockets->address(), StartsWith("localhost:"));
  EXPECT_TRUE(Connects("127.0.0.1", PortOf(*sockets)));
  EXPECT_EQ(Connects("::1", PortOf(*sockets)), sockets->fds().size() > 1);
}

TEST(ListeningSocketsTest, PathMayBeWrittenAsAUri) {
  const ShortFolder folder;
  const std::string path = folder.path() + "/s";
  const auto sockets = ListeningSockets::Open("unix://" + path);
  ASSERT_TRUE(sockets.ok()) << sockets.status();
  EXPECT_EQ(sockets->address(), "unix:" + path);
  EXPECT_TRUE(sockets->is_unix());
  EXPECT_EQ(access(path.c_str(), F_OK), 0);
}

TEST(ListeningSocketsTest, ErrorsGiveTheReason) {
  const auto used = ListeningSockets::Open("127.0.0.1:0");
  ASSERT_TRUE(used.ok());
  EXPECT_EQ(ErrorOf(used->address()),
            "cannot listen at " + used->address() + ": Address already in use");
  EXPECT_EQ(ErrorOf("192.0.2.1:0"),
            "cannot listen at 192.0.2.1:0: Cannot assign requested address");
  EXPECT_THAT(ErrorOf("no-such-name.invalid:0"),
              StartsWith("cannot listen at no-such-name.invalid:0: "));
  EXPECT_THAT(ErrorOf("unix:"), HasSubstr("the path is empty"));
}

TEST(ListeningSocketsTest, MalformedAddressesAreRefused) {
  for (const char* address :
       {"", "50051", ":50051", "h:", "h:x", "h:-1", "h:65536", "::1:50051",
        "[::1]", "[::1:50051", "[]:1", "[127.0.0.1]:1", "a[b]:1"}) {
    const absl::Status status = CheckListenAddress(address);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << address;
    EXPECT_EQ(ListeningSockets::Open(address).status(), status);
  }
  for (const char* address : {"h:0", "[::1]:65535", "unix:", "unix:a/b"}) {
    EXPECT_TRUE(CheckListenAddress(address).ok()) << address;
  }
}

TEST(ListeningSocketsTest, LocalAddressesAreThoseOfThisHostAlone) {
  const ShortFolder folder;
  for (const auto& [address, is_local] :
       std::vector<std::pair<std::string, bool>>{
           {"127.0.0.1:0", true},
           {"127.8.7.6:0", true},
           {"localhost:0", true},
           {"unix:" + folder.path() + "/s", true},
           {"0.0.0.0:0", false},
           {"[::]:0", false}}) {
    const auto sockets = ListeningSockets::Open(address);
    ASSERT_TRUE(sockets.ok()) << sockets.status();
    EXPECT_EQ(sockets->is_local(), is_local) << address;
  }
}

}  // namespace
}  // namespace rwkvd
