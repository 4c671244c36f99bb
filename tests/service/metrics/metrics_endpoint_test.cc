// SPDX-License-Identifier: Apache-2.0
#include "service/metrics/metrics_endpoint.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/metric_family.h"
#include "service/listener/owned_fd.h"

namespace rwkvd {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kGet[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

// How long a scrape may take. Far more than on an idle machine, far less than
// any timeout of the endpoint.
constexpr absl::Duration kPatience = absl::Seconds(3);

class Gauge : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override {
    prometheus::MetricFamily family;
    family.name = "test_gauge";
    family.help = "A test.";
    family.type = prometheus::MetricType::Gauge;
    family.metric.emplace_back().gauge.value = 42;
    return {family};
  }
};

absl::StatusOr<std::unique_ptr<MetricsEndpoint>> Start(
    const std::string& address) {
  return MetricsEndpoint::Start(address, {std::make_shared<Gauge>()});
}

sockaddr_in Loopback(const std::string& address) {
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return to;
}

template <typename Address>
OwnedFd ConnectTo(const Address& to) {
  OwnedFd fd(socket(reinterpret_cast<const sockaddr*>(&to)->sa_family,
                    SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(
      connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0)
      << std::strerror(errno);
  return fd;
}

OwnedFd Connect(const MetricsEndpoint& endpoint) {
  return ConnectTo(Loopback(endpoint.address()));
}

void Send(const OwnedFd& fd, absl::string_view text) {
  ASSERT_EQ(send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(text.size()));
}

// Everything that the endpoint sends until it closes the connection.
std::string ReadAll(const OwnedFd& fd) {
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t size = read(fd.get(), buffer, sizeof(buffer));
    if (size <= 0) return text;
    text.append(buffer, size);
  }
}

std::string Ask(const OwnedFd& fd, absl::string_view request) {
  Send(fd, request);
  return ReadAll(fd);
}

std::string Ask(const MetricsEndpoint& endpoint, absl::string_view request) {
  return Ask(Connect(endpoint), request);
}

void ExpectScrape(const std::string& answer) {
  EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 200 OK\r\n"),
                            HasSubstr("text/plain; version=0.0.4"),
                            HasSubstr("\r\n\r\n# HELP test_gauge A test.\n"),
                            EndsWith("\ntest_gauge 42\n")));
}

// Returns how long a scrape takes.
absl::Duration ExpectScrapeInTime(const MetricsEndpoint& endpoint) {
  const absl::Time begin = absl::Now();
  ExpectScrape(Ask(endpoint, kGet));
  const absl::Duration took = absl::Now() - begin;
  EXPECT_LT(took, kPatience);
  return took;
}

class MetricsEndpointTest : public testing::Test {
 protected:
  void SetUp() override {
    auto endpoint = Start("127.0.0.1:0");
    ASSERT_TRUE(endpoint.ok()) << endpoint.status();
    endpoint_ = *std::move(endpoint);
  }

  std::unique_ptr<MetricsEndpoint> endpoint_;
};

TEST_F(MetricsEndpointTest, GetReturnsTheMetrics) {
  ExpectScrape(Ask(*endpoint_, kGet));
  ExpectScrape(Ask(*endpoint_, "GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_THAT(Ask(*endpoint_, "GET /metrics HTTP/1.0\r\n\r\n"),
              AllOf(HasSubstr(" 200 OK\r\n"), EndsWith("test_gauge 42\n")));
}

TEST_F(MetricsEndpointTest, HeadReturnsTheSameHeadersWithoutABody) {
  const std::string get = Ask(*endpoint_, kGet);
  const std::string body = get.substr(get.find("\r\n\r\n") + 4);
  EXPECT_THAT(
      Ask(*endpoint_, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
      AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), EndsWith("\r\n\r\n"),
            HasSubstr(absl::StrCat("Content-Length: ", body.size(), "\r\n"))));
}

TEST_F(MetricsEndpointTest, OtherPathsAreNotFound) {
  for (const char* path : {"/", "/metrics/", "/metricsx", "*"}) {
    EXPECT_THAT(Ask(*endpoint_,
                    absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: x\r\n\r\n")),
                StartsWith("HTTP/1.1 404 "))
        << path;
  }
}

TEST_F(MetricsEndpointTest, OtherMethodsAreNotAllowed) {
  for (const char* method : {"DELETE", "OPTIONS", "TRACE", "NONSENSE"}) {
    EXPECT_THAT(
        Ask(*endpoint_,
            absl::StrCat(method, " /metrics HTTP/1.1\r\nHost: x\r\n\r\n")),
        AllOf(StartsWith("HTTP/1.1 405 "),
              HasSubstr("\r\nAllow: GET, HEAD\r\n")))
        << method;
  }
  // Without waiting for the body.
  EXPECT_THAT(Ask(*endpoint_,
                  "POST /metrics HTTP/1.1\r\nHost: x\r\n"
                  "Content-Length: 1000000\r\n\r\nabc"),
              StartsWith("HTTP/1.1 405 "));
}

TEST_F(MetricsEndpointTest, MalformedAndOversizedRequestsAreRefused) {
  const std::string large(1 << 20, 'x');
  for (const std::string& request :
       {std::string("\r\n\r\n\x16\x03\x01 TLS?\r\n\r\n"),
        "GET /" + large + " HTTP/1.1\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + large + "\r\n\r\n"}) {
    const OwnedFd fd = Connect(*endpoint_);
    // The endpoint may close the connection before it has read everything.
    send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL);
    EXPECT_THAT(ReadAll(fd), Not(HasSubstr(" 200 ")));
  }
  ExpectScrapeInTime(*endpoint_);
}

TEST_F(MetricsEndpointTest, SilentAndSlowConnectionsDoNotDelayAScrape) {
  std::vector<OwnedFd> open;
  for (int i = 0; i < 200; ++i) {
    open.push_back(Connect(*endpoint_));
    const absl::string_view sent[] = {"", "G", "GET /metrics HTTP/1.1\r\nHo",
                                      kGet};
    Send(open.back(), sent[i % 4]);
  }
  std::vector<absl::Duration> scrapes;
  for (int i = 0; i < 20; ++i) {
    scrapes.push_back(ExpectScrapeInTime(*endpoint_));
    send(open[4 * i + 1].get(), "E", 1, MSG_NOSIGNAL);  // still slow
  }
  // The median, since the machine may be busy.
  absl::c_sort(scrapes);
  EXPECT_LT(scrapes[scrapes.size() / 2], absl::Milliseconds(200));
}

TEST_F(MetricsEndpointTest, FurtherConnectionsCloseTheOldestOnes) {
  std::vector<OwnedFd> open;
  for (int i = 0; i < 300; ++i) open.push_back(Connect(*endpoint_));
  ExpectScrapeInTime(*endpoint_);
  // Before the endpoint would close it for being silent.
  pollfd oldest = {open.front().get(), POLLIN, 0};
  EXPECT_EQ(poll(&oldest, 1, absl::ToInt64Milliseconds(kPatience)), 1);
  EXPECT_EQ(ReadAll(open.front()), "");  // returns, as it is closed
  ExpectScrape(Ask(open.back(), kGet));
}

TEST_F(MetricsEndpointTest, SilentConnectionsAreClosedAfterSomeSeconds) {
  const OwnedFd idle = Connect(*endpoint_);
  EXPECT_EQ(ReadAll(idle), "");
}

TEST_F(MetricsEndpointTest, EndsWhileConnectionsAreOpen) {
  const OwnedFd idle = Connect(*endpoint_);
  ExpectScrapeInTime(*endpoint_);
  endpoint_ = nullptr;
  EXPECT_EQ(ReadAll(idle), "");
}

TEST(MetricsEndpointAddressTest, UnixSocketIsServed) {
  const std::string path =
      absl::StrCat(std::getenv("TEST_TMPDIR"), "/", getpid(), ".sock");
  // Paths of sockets are short; those of test directories may be long.
  ASSERT_EQ(chdir(std::getenv("TEST_TMPDIR")), 0);
  const std::string name = path.substr(path.rfind('/') + 1);
  const auto endpoint = Start("unix:" + name);
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  EXPECT_EQ((*endpoint)->address(), "unix:" + name);
  sockaddr_un to = {};
  to.sun_family = AF_UNIX;
  std::strncpy(to.sun_path, name.c_str(), sizeof(to.sun_path) - 1);
  ExpectScrape(Ask(ConnectTo(to), kGet));
}

TEST(MetricsEndpointAddressTest, Ipv6IsServed) {
  const auto endpoint = Start("[::1]:0");
  if (!endpoint.ok()) GTEST_SKIP() << endpoint.status();
  EXPECT_THAT((*endpoint)->address(), StartsWith("[::1]:"));
  sockaddr_in6 to = {};
  to.sin6_family = AF_INET6;
  to.sin6_port = Loopback((*endpoint)->address()).sin_port;
  to.sin6_addr = in6addr_loopback;
  ExpectScrape(Ask(ConnectTo(to), kGet));
}

TEST(MetricsEndpointAddressTest, NamesAreServed) {
  const auto endpoint = Start("localhost:0");
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  ExpectScrapeInTime(**endpoint);
}

TEST(MetricsEndpointAddressTest, AddressInUseIsReportedWithTheReason) {
  const auto first = Start("127.0.0.1:0");
  ASSERT_TRUE(first.ok());
  const auto second = Start((*first)->address());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              AllOf(HasSubstr((*first)->address()),
                    HasSubstr("Address already in use")));
}

TEST_F(MetricsEndpointTest, TokenIsNeededIfThereIsOne) {
  const std::string token = "0123456789abcdef";
  ASSERT_TRUE(endpoint_->Use({.token = token}).ok());
  const auto ask = [&](const std::string& header) {
    return Ask(*endpoint_, absl::StrCat("GET /metrics HTTP/1.1\r\nHost: x\r\n",
                                        header, "\r\n"));
  };
  for (const std::string& header :
       {std::string(), "Authorization: Bearer " + token + "0\r\n",
        "Authorization: Bearer " + token.substr(1) + "\r\n",
        "Authorization: Basic " + token + "\r\n",
        std::string("Authorization: Bearer \r\n")}) {
    EXPECT_THAT(ask(header),
                AllOf(StartsWith("HTTP/1.1 401 "),
                      HasSubstr("\r\nWWW-Authenticate: Bearer\r\n"),
                      Not(HasSubstr("test_gauge"))))
        << header;
  }
  ExpectScrape(ask("Authorization: Bearer " + token + "\r\n"));
  ASSERT_TRUE(endpoint_->Use({}).ok());
  ExpectScrape(ask(""));
}

}  // namespace
}  // namespace rwkvd
