// SPDX-License-Identifier: Apache-2.0
//
// The channelz service of a real server: who may call it, and what it shows.
#include "service/calls/channelz_service.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "tests/service/listener/http2_frames.h"
#include "tests/service/listener/raw_connection.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::MessageFactory;
using ::testing::HasSubstr;
using ProtoMessage = google::protobuf::Message;

constexpr const char* kChannelzNames[] = {
    "GetTopChannels", "GetServers",    "GetServer", "GetServerSockets",
    "GetChannel",     "GetSubchannel", "GetSocket"};

std::unique_ptr<ProtoMessage> NewChannelzMessage(const std::string& type) {
  const Descriptor* const descriptor =
      DescriptorPool::generated_pool()->FindMessageTypeByName(
          absl::StrCat("grpc.channelz.v1.", type));
  return std::unique_ptr<ProtoMessage>(
      MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
}

const FieldDescriptor* FieldIn(const ProtoMessage& message,
                               absl::string_view name) {
  return message.GetDescriptor()->FindFieldByName(std::string(name));
}

// The number in a nested field, such as "server.ref.server_id". Of a repeated
// field, it is that of the last item; -1 if there is none.
int64_t NumberAt(const ProtoMessage& message, absl::string_view path) {
  const size_t dot = path.find('.');
  const auto& reflection = *message.GetReflection();
  const FieldDescriptor* const field = FieldIn(message, path.substr(0, dot));
  if (dot == path.npos) return reflection.GetInt64(message, field);
  const absl::string_view rest = path.substr(dot + 1);
  if (!field->is_repeated()) {
    return NumberAt(reflection.GetMessage(message, field), rest);
  }
  const int size = reflection.FieldSize(message, field);
  if (size == 0) return -1;
  return NumberAt(reflection.GetRepeatedMessage(message, field, size - 1),
                  rest);
}

int SizeOf(const ProtoMessage& message, absl::string_view field) {
  return message.GetReflection()->FieldSize(message, FieldIn(message, field));
}

bool IsLastPage(const ProtoMessage& message) {
  return message.GetReflection()->GetBool(message, FieldIn(message, "end"));
}

// A server with --channelz whose identities are "admin", with this role alone,
// and "other", with all roles but this one. Their tokens are their names.
class ChannelzServiceTest : public testing::Test {
 protected:
  static Options NewOptions() {
    Options options;
    options.channelz = true;
    options.auth_tokens = WriteTokenFile(
        TokenLine("admin", "admin", "roles=admin") +
        TokenLine("other", "other", "roles=infer,score,states,pins,metrics"));
    return options;
  }

  explicit ChannelzServiceTest(const Options& options = NewOptions())
      : server_(options), channel_(server_.NewChannel()) {}

  // `request` is in text format. There is no token if `token` is empty.
  grpc::Status Call(const std::string& method, const std::string& request,
                    const std::string& token = "admin",
                    std::string* answer = nullptr) {
    const auto message = NewChannelzMessage(absl::StrCat(method, "Request"));
    EXPECT_TRUE(
        google::protobuf::TextFormat::ParseFromString(request, message.get()));
    grpc::ClientContext context;
    if (!token.empty()) AddToken(token, &context);
    return CallWithBytes(channel_,
                         absl::StrCat("/grpc.channelz.v1.Channelz/", method),
                         message->SerializeAsString(), &context, answer);
  }

  // The answer to a call that succeeds.
  std::unique_ptr<ProtoMessage> Answer(const std::string& method,
                                       const std::string& request) {
    std::string bytes;
    const grpc::Status status = Call(method, request, "admin", &bytes);
    EXPECT_TRUE(status.ok()) << status.error_message();
    auto message = NewChannelzMessage(absl::StrCat(method, "Response"));
    EXPECT_TRUE(message->ParseFromString(bytes));
    return message;
  }

  int64_t ServerId() {
    return NumberAt(*Answer("GetServers", ""), "server.ref.server_id");
  }

  TestServer server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(ChannelzServiceTest, NeedsACredentialAndTheRoleAdmin) {
  for (const char* method : kChannelzNames) {
    EXPECT_EQ(Call(method, "", "").error_code(),
              grpc::StatusCode::UNAUTHENTICATED)
        << method;
    EXPECT_EQ(Call(method, "", "nobody").error_code(),
              grpc::StatusCode::UNAUTHENTICATED)
        << method;
    const grpc::Status status = Call(method, "", "other");
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED)
        << method;
    EXPECT_THAT(status.error_details(), HasSubstr("ROLE_MISSING")) << method;
  }
}

TEST_F(ChannelzServiceTest, ShowsTheServerAndItsConnections) {
  const std::string server_id = absl::StrCat("server_id: ", ServerId());
  const auto server = Answer("GetServer", server_id);
  EXPECT_EQ(NumberAt(*server, "server.ref.server_id"), ServerId());
  // Those of TestServer and of this test.
  EXPECT_GE(NumberAt(*server, "server.data.calls_started"), 3);
  const auto sockets = Answer("GetServerSockets", server_id);
  EXPECT_GE(SizeOf(*sockets, "socket_ref"), 1);
  EXPECT_TRUE(IsLastPage(*sockets));
  const auto socket = Answer(
      "GetSocket",
      absl::StrCat("socket_id: ", NumberAt(*sockets, "socket_ref.socket_id")));
  EXPECT_GE(NumberAt(*socket, "socket.data.streams_started"), 3);
  EXPECT_THAT(socket->ShortDebugString(),
              HasSubstr("remote { tcpip_address { ip_address: "
                        "\"\\177\\000\\000\\001\" port: "));
}

// The channels are those of the test, which runs in the same process.
TEST_F(ChannelzServiceTest, ShowsChannelsAndSubchannels) {
  const auto top = Answer("GetTopChannels", "");
  EXPECT_TRUE(IsLastPage(*top));
  const auto channel = Answer(
      "GetChannel",
      absl::StrCat("channel_id: ", NumberAt(*top, "channel.ref.channel_id")));
  EXPECT_THAT(
      channel->ShortDebugString(),
      HasSubstr(absl::StrCat("target: \"", server_.server().address(), "\"")));
  const auto subchannel = Answer(
      "GetSubchannel",
      absl::StrCat("subchannel_id: ",
                   NumberAt(*channel, "channel.subchannel_ref.subchannel_id")));
  EXPECT_GE(NumberAt(*subchannel, "subchannel.socket_ref.socket_id"), 1);
}

TEST_F(ChannelzServiceTest, UnknownIdsAreNotFound) {
  for (const auto& [method, field] :
       std::vector<std::pair<std::string, std::string>>{
           {"GetServer", "server_id"},
           {"GetServerSockets", "server_id"},
           {"GetChannel", "channel_id"},
           {"GetSubchannel", "subchannel_id"},
           {"GetSocket", "socket_id"}}) {
    for (const int64_t id : {int64_t{0}, int64_t{1} << 40, INT64_MAX}) {
      const grpc::Status status = Call(method, absl::StrCat(field, ": ", id));
      EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND) << method;
      EXPECT_THAT(status.error_message(),
                  HasSubstr(absl::StrCat(field, ": there is no ")));
      EXPECT_THAT(status.error_details(),
                  HasSubstr("CHANNELZ_ENTITY_NOT_FOUND"));
    }
  }
  // The id of something else.
  EXPECT_EQ(
      Call("GetSocket", absl::StrCat("socket_id: ", ServerId())).error_code(),
      grpc::StatusCode::NOT_FOUND);
}

TEST_F(ChannelzServiceTest, NegativeNumbersAreRefused) {
  for (const auto& [method, field] :
       std::vector<std::pair<std::string, std::string>>{
           {"GetTopChannels", "start_channel_id"},
           {"GetServers", "start_server_id"},
           {"GetServers", "max_results"},
           {"GetServerSockets", "start_socket_id"},
           {"GetServerSockets", "max_results"},
           {"GetSocket", "socket_id"}}) {
    const grpc::Status status = Call(method, absl::StrCat(field, ": -5"));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(status.error_message(),
              absl::StrCat(field, ": is -5, must be at least 0"));
  }
}

TEST_F(ChannelzServiceTest, ListsContinueAtTheNextId) {
  const auto another_channel = server_.NewChannel();
  // Channels of earlier tests may still exist, but have lower ids.
  const int64_t last =
      NumberAt(*Answer("GetTopChannels", ""), "channel.ref.channel_id");
  const auto one = Answer("GetTopChannels", "max_results: 1");
  EXPECT_EQ(SizeOf(*one, "channel"), 1);
  EXPECT_FALSE(IsLastPage(*one));
  const int64_t first = NumberAt(*one, "channel.ref.channel_id");
  EXPECT_LT(first, last);
  const auto rest =
      Answer("GetTopChannels", absl::StrCat("start_channel_id: ", first + 1));
  EXPECT_EQ(NumberAt(*rest, "channel.ref.channel_id"), last);
  EXPECT_TRUE(IsLastPage(*rest));
  const auto none =
      Answer("GetServers", absl::StrCat("start_server_id: ", ServerId() + 1));
  EXPECT_EQ(SizeOf(*none, "server"), 0);
  EXPECT_TRUE(IsLastPage(*none));
}

TEST(OpenChannelzTest, IsUnimplementedUnlessTurnedOn) {
  const TestServer server;
  grpc::ClientContext context;
  EXPECT_EQ(CallWithBytes(server.NewChannel(),
                          "/grpc.channelz.v1.Channelz/GetServers", "", &context)
                .error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

// Without a token file, everyone may call.
class OpenChannelzServiceTest : public ChannelzServiceTest {
 protected:
  static Options NewOptions() {
    Options options;
    options.channelz = true;
    options.max_connections = 300;
    options.max_connections_per_peer = 200;
    options.unread_timeout = absl::Seconds(1);
    return options;
  }

  OpenChannelzServiceTest() : ChannelzServiceTest(NewOptions()) {}
};

TEST_F(OpenChannelzServiceTest, AnswersHaveAtMostMaxResults) {
  constexpr int kMax = ChannelzService::kMaxResults;
  std::vector<std::unique_ptr<RawConnection>> connections;
  for (int i = 0; i < kMax + 1; ++i) {
    connections.push_back(
        std::make_unique<RawConnection>(server_.server().address()));
    connections.back()->StartHttp2();
    ASSERT_TRUE(connections.back()->ReadUntilFrame(RawConnection::kSettings));
  }
  const std::string server_id = absl::StrCat("server_id: ", ServerId());
  for (const char* max_results : {"", " max_results: 1000"}) {
    const auto page =
        Answer("GetServerSockets", absl::StrCat(server_id, max_results));
    EXPECT_EQ(SizeOf(*page, "socket_ref"), kMax);
    EXPECT_FALSE(IsLastPage(*page));
    const auto rest =
        Answer("GetServerSockets",
               absl::StrCat(server_id, " start_socket_id: ",
                            NumberAt(*page, "socket_ref.socket_id") + 1));
    EXPECT_GE(SizeOf(*rest, "socket_ref"), 2);  // also this test's channel
    EXPECT_TRUE(IsLastPage(*rest));
  }
}

TEST_F(OpenChannelzServiceTest, UnreadAnswersDelayNobodyAndAreEnded) {
  RawConnection connection(server_.server().address());
  connection.StartHttp2();
  // The client accepts no bytes of any message.
  connection.Send(http2::Frame(http2::kSettings, 0, 0,
                               absl::string_view("\0\4\0\0\0\0", 6)));
  for (uint32_t stream = 1; stream < 64; stream += 2) {
    connection.Send(http2::Frame(
        http2::kHeaders, http2::kEndHeaders, stream,
        http2::CallFields("/grpc.channelz.v1.Channelz/GetServers")));
    connection.Send(http2::Frame(http2::kData, http2::kEndStream, stream,
                                 std::string(5, '\0')));
  }
  EXPECT_TRUE(connection.ReadUntilFrame(http2::kHeaders));
  EXPECT_GE(ServerId(), 1);
  EXPECT_TRUE(connection.ReadUntilFrame(http2::kResetStream));
}

}  // namespace
}  // namespace rwkvd
