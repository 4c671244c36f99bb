// SPDX-License-Identifier: Apache-2.0
#include "service/listener/listener.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "gtest/gtest.h"
#include "service/listener/listener_collector.h"
#include "service/listener/open_calls.h"
#include "tests/service/listener/http2_frames.h"
#include "tests/service/listener/raw_connection.h"
#include "tests/service/listener/short_folder.h"

namespace rwkvd {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

// Records the name of the last peer. Thread-safe.
class PeerService final : public Health::CallbackService {
 public:
  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const HealthCheckRequest*,
                                  HealthCheckResponse*) override {
    absl::MutexLock lock(&mutex_);
    peer_ = context->peer();
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  std::string peer() {
    absl::MutexLock lock(&mutex_);
    return peer_;
  }

 private:
  absl::Mutex mutex_;
  std::string peer_ ABSL_GUARDED_BY(mutex_);
};

// A gRPC server behind a Listener.
class ListenerTest : public ::testing::Test {
 protected:
  ~ListenerTest() override {
    if (server_ != nullptr) Stop();
  }

  void Serve(const std::string& address,
             ConnectionLimits limits = {.total = 100, .per_peer = 100},
             const std::string& argument = "", int value = 0,
             CallGuard::Limits call_limits = {},
             MessageBudget::Limits message_limits = {}) {
    auto listener =
        Listener::Open(address, limits, call_limits, message_limits);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    grpc::ServerBuilder builder;
    if (!argument.empty()) {
      builder.AddChannelArgument(argument, value);
      builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    }
    auto acceptor = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        grpc::InsecureServerCredentials());
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    ASSERT_TRUE(listener_->Start(std::move(acceptor)).ok());
  }

  std::shared_ptr<grpc::Channel> NewChannel() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(
        listener_->address(), grpc::InsecureChannelCredentials(), arguments);
  }

  static grpc::Status Check(const std::shared_ptr<grpc::Channel>& channel) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    HealthCheckResponse response;
    return Health::NewStub(channel)->Check(&context, {}, &response);
  }

  void Stop() {
    listener_->Stop();
    server_->Shutdown(absl::ToChronoTime(absl::Now()));
    server_ = nullptr;
    listener_ = nullptr;
  }

  // Waits until unfinished messages take at least `bytes`, and little more; if
  // `bytes` is 0, nothing at all. There is no event for this.
  void WaitForMessageBytes(int64_t bytes) const {
    constexpr int64_t kMoreThanFrameHeaders = 1000;
    const int64_t most = bytes == 0 ? 0 : bytes + kMoreThanFrameHeaders;
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    const auto is_reached = [&] {
      const int64_t now = listener_->message_bytes();
      return now >= bytes && now <= most;
    };
    while (!is_reached() && absl::Now() < deadline) std::this_thread::yield();
    EXPECT_TRUE(is_reached()) << listener_->message_bytes();
  }

  std::string UnixAddress() const { return "unix:" + folder_.path() + "/s"; }

  const ShortFolder folder_;
  PeerService service_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(ListenerTest, PeersOfTcpHaveAddresses) {
  Serve("127.0.0.1:0");
  ASSERT_TRUE(Check(NewChannel()).ok());
  EXPECT_THAT(service_.peer(), MatchesRegex("ipv4:127\\.0\\.0\\.1:[0-9]+"));
}

TEST_F(ListenerTest, Ipv4PeersOfAWildcardHaveIpv4Addresses) {
  Serve("[::]:0");
  RawConnection unused("127.0.0.1:" + listener_->address().substr(5));
  ASSERT_TRUE(unused.connected());
  const auto channel =
      grpc::CreateChannel("127.0.0.1:" + listener_->address().substr(5),
                          grpc::InsecureChannelCredentials());
  ASSERT_TRUE(Check(channel).ok());
  EXPECT_THAT(service_.peer(), MatchesRegex("ipv4:127\\.0\\.0\\.1:[0-9]+"));
}

TEST_F(ListenerTest, ServesUnixSockets) {
  Serve(UnixAddress());
  const auto channel = NewChannel();
  ASSERT_TRUE(Check(channel).ok());
  EXPECT_THAT(service_.peer(), StartsWith("unix:"));
  EXPECT_EQ(listener_->num_connections(), 1);
}

TEST_F(ListenerTest, CountsConnectionsUntilTheyEnd) {
  Serve("127.0.0.1:0");
  auto first = NewChannel(), second = NewChannel();
  ASSERT_TRUE(Check(first).ok());
  ASSERT_TRUE(Check(second).ok());
  EXPECT_EQ(listener_->num_connections(), 2);
  server_->Shutdown(absl::ToChronoTime(absl::Now()));
  // gRPC closes the descriptors on another thread, without an event.
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (listener_->num_connections() > 0 && absl::Now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(listener_->num_connections(), 0);
}

TEST_F(ListenerTest, RefusesConnectionsAboveTheLimits) {
  Serve("127.0.0.1:0", {.total = 3, .per_peer = 2});
  RawConnection first(listener_->address()), second(listener_->address());
  first.StartHttp2();
  ASSERT_TRUE(first.ReadUntilFrame(RawConnection::kSettings));
  second.StartHttp2();
  ASSERT_TRUE(second.ReadUntilFrame(RawConnection::kSettings));
  RawConnection third(listener_->address());
  third.ReadUntilEnd();
  EXPECT_EQ(listener_->num_refused(Refusal::kPeerLimit), 1);
  EXPECT_EQ(listener_->num_refused(Refusal::kTotalLimit), 0);
  // gRPC closes the connection when it has noticed that the client has.
  first.Close();
  EXPECT_TRUE(Check(NewChannel()).ok());
}

TEST_F(ListenerTest, LimitsAllConnectionsOfUnixSockets) {
  Serve(UnixAddress(), {.total = 2, .per_peer = 1});
  RawConnection first(listener_->address()), second(listener_->address());
  first.StartHttp2();
  ASSERT_TRUE(first.ReadUntilFrame(RawConnection::kSettings));
  second.StartHttp2();
  ASSERT_TRUE(second.ReadUntilFrame(RawConnection::kSettings));
  RawConnection third(listener_->address());
  third.ReadUntilEnd();
  EXPECT_EQ(listener_->num_refused(Refusal::kTotalLimit), 1);
}

TEST_F(ListenerTest, ConnectionWithTooManyOpenCallsIsClosed) {
  Serve("127.0.0.1:0", {.total = 9, .per_peer = 9}, "", 0,
        {.per_connection = 10, .total = 100});
  const auto honest = NewChannel();
  ASSERT_TRUE(Check(honest).ok());
  RawConnection client(listener_->address());
  client.StartHttp2();
  for (uint32_t i = 0; i < 20; ++i) {
    client.Send(
        http2::Frame(http2::kHeaders, http2::kEndHeaders, 1 + 2 * i,
                     http2::CallFields("/grpc.health.v1.Health/Check")));
  }
  client.ReadUntilEnd();
  EXPECT_TRUE(Check(honest).ok());
  listener_->Stop();  // waits until the thread has counted it
  EXPECT_EQ(listener_->num_closed(Http2Abuse::kCalls), 1);
}

// Faster than the number of open calls can be known.
TEST_F(ListenerTest, ConnectionThatBeginsACallAboveTheTotalIsClosed) {
  Serve("127.0.0.1:0", {.total = 9, .per_peer = 9}, "", 0,
        {.per_connection = 1000, .total = 16});
  RawConnection client(listener_->address());
  client.StartHttp2();
  std::string calls;
  for (uint32_t i = 0; i < 100; ++i) {
    calls += http2::Frame(http2::kHeaders, http2::kEndHeaders, 1 + 2 * i,
                          http2::CallFields("/grpc.health.v1.Health/Check"));
  }
  client.Send(calls);
  client.ReadUntilEnd();
  EXPECT_EQ(listener_->num_closed(Http2Abuse::kCalls), 1);
}

// The frames that begin a call whose message has `size` bytes, and send all of
// them but the last. A client may send 65,535 bytes without being granted more.
std::string HalfSentMessage(uint32_t stream, uint32_t size) {
  std::string prefix(1, '\0');
  http2::AppendNumber(size, &prefix);
  std::string frames =
      http2::Frame(http2::kHeaders, http2::kEndHeaders, stream,
                   http2::CallFields("/grpc.health.v1.Health/Check")) +
      http2::Frame(http2::kData, 0, stream, prefix);
  constexpr uint32_t kMaxFrame = 16384;
  for (uint32_t left = size - 1; left > 0;) {
    const uint32_t part = std::min(left, kMaxFrame);
    frames += http2::Frame(http2::kData, 0, stream, std::string(part, 'a'));
    left -= part;
  }
  return frames;
}

TEST_F(ListenerTest, ConnectionWithMostUnfinishedMessagesIsClosed) {
  for (const std::string& address :
       {std::string("127.0.0.1:0"), UnixAddress()}) {
    Serve(address, {.total = 9, .per_peer = 9}, "", 0, {},
          {.per_peer = 100'000, .total = 100'000});
    const auto honest = NewChannel();
    ASSERT_TRUE(Check(honest).ok());
    RawConnection large(listener_->address()), small(listener_->address());
    large.StartHttp2();
    large.Send(HalfSentMessage(1, 60'000));
    WaitForMessageBytes(60'000 - 1);
    small.StartHttp2();
    small.Send(HalfSentMessage(1, 50'000));
    large.ReadUntilEnd();
    // The other one is still served: its message is completed.
    small.Send(http2::Frame(http2::kData, http2::kEndStream, 1, "a"));
    EXPECT_TRUE(small.ReadUntilFrame(http2::kHeaders));
    EXPECT_TRUE(Check(honest).ok());
    EXPECT_EQ(listener_->num_closed(Http2Abuse::kMessages), 1);
    WaitForMessageBytes(0);
    Stop();
  }
}

TEST_F(ListenerTest, ConnectionThatExceedsTheLimitOfMessagesIsClosed) {
  Serve("127.0.0.1:0", {.total = 9, .per_peer = 9}, "", 0, {},
        {.per_peer = 50'000});
  const auto honest = NewChannel();
  ASSERT_TRUE(Check(honest).ok());
  RawConnection client(listener_->address());
  client.StartHttp2();
  client.Send(HalfSentMessage(1, 60'000));
  client.ReadUntilEnd();
  EXPECT_EQ(listener_->num_closed(Http2Abuse::kMessages), 1);
  EXPECT_TRUE(Check(honest).ok());
}

// gRPC ends the stream as soon as it knows that there is no such method; the
// client never ends it.
TEST_F(ListenerTest, UnfinishedMessageOfAStreamThatGrpcEndsDoesNotCount) {
  Serve("127.0.0.1:0");
  RawConnection client(listener_->address());
  client.StartHttp2();
  client.Send(
      http2::Frame(http2::kHeaders, http2::kEndHeaders, 1,
                   http2::CallFields("/no.Service/Method")) +
      http2::Frame(http2::kData, 0, 1, std::string("\0\0\0\1\0abc", 8)));
  ASSERT_TRUE(client.ReadUntilFrame(http2::kResetStream));
  WaitForMessageBytes(0);
  client.Send(http2::Frame(http2::kData, 0, 1, "def"));
  client.Send(HalfSentMessage(3, 2));
  WaitForMessageBytes(1);
}

TEST_F(ListenerTest, UnfinishedMessagesEndWithTheirConnection) {
  Serve("127.0.0.1:0");
  RawConnection client(listener_->address());
  client.StartHttp2();
  client.Send(HalfSentMessage(1, 30'000));
  WaitForMessageBytes(30'000 - 1);
  client.Close();
  WaitForMessageBytes(0);
}

TEST_F(ListenerTest, StopKeepsOpenConnections) {
  Serve("127.0.0.1:0");
  const auto channel = NewChannel();
  ASSERT_TRUE(Check(channel).ok());
  listener_->Stop();
  EXPECT_TRUE(Check(channel).ok());
  EXPECT_FALSE(RawConnection(listener_->address()).connected());
}

TEST_F(ListenerTest, ShutdownSendsGoAway) {
  Serve("127.0.0.1:0");
  RawConnection client(listener_->address());
  client.StartHttp2();
  ASSERT_TRUE(client.ReadUntilFrame(RawConnection::kSettings));
  listener_->Stop();
  server_->Shutdown(absl::ToChronoTime(absl::Now()));
  EXPECT_TRUE(client.ReadUntilFrame(RawConnection::kGoAway));
  client.ReadUntilEnd();
}

TEST_F(ListenerTest, MaxConnectionAgeSendsGoAway) {
  Serve("127.0.0.1:0", {.total = 1, .per_peer = 1},
        GRPC_ARG_MAX_CONNECTION_AGE_MS, 1);
  RawConnection client(listener_->address());
  client.StartHttp2();
  EXPECT_TRUE(client.ReadUntilFrame(RawConnection::kGoAway));
}

TEST_F(ListenerTest, KeepaliveSendsPings) {
  Serve("127.0.0.1:0", {.total = 1, .per_peer = 1}, GRPC_ARG_KEEPALIVE_TIME_MS,
        1);
  RawConnection client(listener_->address());
  client.StartHttp2();
  EXPECT_TRUE(client.ReadUntilFrame(RawConnection::kPing));
}

// Sends `frames` again and again, until the server closes the connection.
void SendUntilClosed(RawConnection& client, const std::string& frames) {
  while (client.Send(frames)) {
  }
}

TEST_F(ListenerTest, AbusesOfHttp2EndTheirConnectionOnly) {
  Serve("127.0.0.1:0");
  const auto honest = NewChannel();
  ASSERT_TRUE(Check(honest).ok());
  // A field whose name has a length without an end.
  const std::string begin =
      http2::Frame(http2::kHeaders, 0, 1,
                   http2::CallFields("/grpc.health.v1.Health/Check") +
                       std::string("\0\x7f\x80", 3));
  RawConnection headers(listener_->address());
  headers.StartHttp2();
  headers.Send(begin);
  SendUntilClosed(headers, http2::Frame(http2::kContinuation, 0, 1,
                                        std::string(1000, '\x80')));
  EXPECT_EQ(listener_->num_closed(Http2Abuse::kHeaders), 1);
  RawConnection resets(listener_->address());
  resets.StartHttp2();
  resets.Send(http2::Frame(http2::kSettings, http2::kAcknowledgment, 0));
  uint32_t stream = 1;
  while (resets.Send(
      http2::Frame(http2::kHeaders, http2::kEndHeaders, stream,
                   http2::CallFields("/grpc.health.v1.Health/Check")) +
      http2::Reset(stream))) {
    stream += 2;
  }
  EXPECT_EQ(listener_->num_closed(Http2Abuse::kResets), 1);
  EXPECT_TRUE(Check(honest).ok());
  EXPECT_TRUE(Check(NewChannel()).ok());
}

TEST(OpenCallsTest, ReadsTheStatisticsOfGrpc) {
  EXPECT_EQ(ParseOpenCalls(R"({"server":{"data":{"callsStarted":"6",
      "callsFailed":"2","callsSucceeded":"1"},"ref":{"serverId":"1"}}})"),
            3);
  const ConnectionCalls calls = ParseConnection(R"({"socket":{
      "data":{"streamsStarted":"5","streamsSucceeded":"1"},
      "remote":{"tcpip_address":{"ip_address":"fwAAAQ==","port":4660}}}})");
  EXPECT_EQ(calls.num_calls, 4);
  EXPECT_EQ(calls.endpoint, std::string("\x7f\0\0\1\x12\x34", 6));
  EXPECT_EQ(ParseConnection(R"({"socket":{"data":{},
      "remote":{"uds_address":{"filename":""}}}})")
                .endpoint,
            "");
  for (const char* text :
       {"", "{}", R"({"server":{"data":{"callsStarted":"x"}}})",
        R"({"socket":{"data":{"streamsStarted":)"}) {
    EXPECT_EQ(ParseOpenCalls(text), 0) << text;
    EXPECT_EQ(ParseConnection(text).num_calls, 0) << text;
  }
}

// The value of a metric with one series.
double ValueOf(const ListenerCollector& collector, const std::string& name) {
  for (const auto& family : collector.Collect()) {
    if (family.name == name) return family.metric.at(0).gauge.value;
  }
  return -1;
}

TEST_F(ListenerTest, MetricsHaveTheNumbers) {
  Serve("127.0.0.1:0", {.total = 7, .per_peer = 7});
  ListenerCollector collector;
  EXPECT_TRUE(collector.Collect().empty());
  collector.Observe(listener_.get());
  const auto channel = NewChannel();
  ASSERT_TRUE(Check(channel).ok());
  EXPECT_EQ(ValueOf(collector, "rwkv_connections"), 1);
  EXPECT_EQ(ValueOf(collector, "rwkv_connections_max"), 7);
  EXPECT_EQ(ValueOf(collector, "rwkv_unfinished_message_bytes"), 0);
  EXPECT_GT(ValueOf(collector, "process_max_fds"), 0);
  collector.Observe(nullptr);
  EXPECT_TRUE(collector.Collect().empty());
}

}  // namespace
}  // namespace rwkvd
