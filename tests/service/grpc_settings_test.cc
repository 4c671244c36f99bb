// SPDX-License-Identifier: Apache-2.0
#include "service/grpc_settings.h"

#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

// Shows the arguments that the server will get.
class ShownBuilder : public grpc::ServerBuilder {
 public:
  std::optional<int> IntegerOf(const char* name) {
    const grpc::ChannelArguments arguments = BuildChannelArgs();
    const grpc_channel_args all = arguments.c_channel_args();
    std::optional<int> value;
    for (size_t i = 0; i < all.num_args; ++i) {
      if (all.args[i].type == GRPC_ARG_INTEGER &&
          std::strcmp(all.args[i].key, name) == 0) {
        value = all.args[i].value.integer;
      }
    }
    return value;
  }
};

TEST(GrpcSettingsTest, LimitsAreThoseOfTheOptions) {
  Options options;
  options.max_message_bytes = 12345;
  options.max_streams_per_connection = 67;
  ShownBuilder builder;
  ConfigureGrpc(options, builder);
  EXPECT_EQ(builder.IntegerOf(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH), 12345);
  EXPECT_EQ(builder.IntegerOf(GRPC_ARG_MAX_CONCURRENT_STREAMS), 67);
  EXPECT_EQ(builder.IntegerOf(GRPC_ARG_MAX_METADATA_SIZE), 16 << 10);
}

// How much memory that saves is seen by edge_attack_test.
TEST(GrpcSettingsTest, BuffersOfConnectionsAreBounded) {
  ShownBuilder builder;
  ConfigureGrpc(Options(), builder);
  EXPECT_EQ(builder.IntegerOf(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE), 64 << 10);
  constexpr char kName[] = "GRPC_EXPERIMENTS";
  unsetenv(kName);
  PrepareGrpc();
  EXPECT_STREQ(std::getenv(kName), "-tcp_read_chunks");
  setenv(kName, "given", 1);
  PrepareGrpc();
  EXPECT_STREQ(std::getenv(kName), "given,-tcp_read_chunks");
}

// ClientPingsTest shows the effect, with a shorter interval.
TEST(GrpcSettingsTest, ClientsWithoutCallsMaySendPings) {
  ShownBuilder builder;
  ConfigureGrpc(Options(), builder);
  EXPECT_EQ(builder.IntegerOf(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS), 1);
  EXPECT_EQ(builder.IntegerOf(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA), 0);
  // Less than the ten seconds that clients may use.
  EXPECT_EQ(
      builder.IntegerOf(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS),
      5000);
}

TEST(GrpcSettingsTest, OnlyUncompressedMessagesAreAccepted) {
  ShownBuilder builder;
  ConfigureGrpc(Options(), builder);
  EXPECT_EQ(
      builder.IntegerOf(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET),
      1 << GRPC_COMPRESS_NONE);
}

}  // namespace
}  // namespace rwkvd
