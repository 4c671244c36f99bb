// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/local_target.h"

#include <cstdlib>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(LocalTargetTest, UnixSocketsAndLoopbackAreLocal) {
  for (const char* target : {"unix:/run/rwkvd.sock",
                             "unix:///run/rwkvd.sock",
                             "unix-abstract:x",
                             "127.0.0.1:50051",
                             "127.8.9.1:1",
                             "127.1:1",
                             "0.0.0.0:1",
                             "[::1]:1",
                             "[::]:1",
                             "[::ffff:127.0.0.1]:1",
                             "[::1%lo]:1",
                             "localhost:1",
                             "LocalHost.:1",
                             "a.localhost:1",
                             "localhost",
                             "::1",
                             "dns:localhost:1",
                             "dns:///127.0.0.1:1",
                             "dns://8.8.8.8/[::1]:1",
                             "ipv4:127.0.0.1:1,127.0.0.2:1",
                             "ipv6:[::1]:1,[::1]:2"}) {
    EXPECT_TRUE(IsLocalTarget(target)) << target;
  }
}

TEST(LocalTargetTest, OtherAddressesAreNotLocal) {
  for (const char* target :
       {"192.0.2.1:1", "128.0.0.1:1", "[2001:db8::1]:1", "[::2]:1",
        "[::ffff:192.0.2.1]:1", "dns:192.0.2.1:1", "dns://127.0.0.1/192.0.2.1",
        "ipv4:127.0.0.1:1,192.0.2.1:1", "ipv6:[2001:db8::1]:1", "", ":1"}) {
    EXPECT_FALSE(IsLocalTarget(target)) << target;
  }
}

TEST(LocalTargetTest, ProxySettingIsRecognized) {
  for (const char* name : {"grpc_proxy", "https_proxy", "http_proxy"}) {
    unsetenv(name);
  }
  EXPECT_FALSE(HasProxySetting());
  for (const char* name : {"grpc_proxy", "https_proxy", "http_proxy"}) {
    setenv(name, "", 1);
    EXPECT_FALSE(HasProxySetting()) << name;
    setenv(name, "http://192.0.2.1:3128", 1);
    EXPECT_TRUE(HasProxySetting()) << name;
    unsetenv(name);
  }
}

}  // namespace
}  // namespace rwkvd
