// SPDX-License-Identifier: Apache-2.0
#include "service/grpc_settings.h"

#include <grpc/compression.h>
#include <grpcpp/resource_quota.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace rwkvd {
namespace {

// A lost connection is detected within 30 seconds, also while it has no calls.
constexpr int kKeepaliveMs = 20'000;
constexpr int kKeepaliveTimeoutMs = 10'000;

// How long a connection may stay open without the beginning of HTTP/2.
constexpr int kHandshakeTimeoutMs = 10'000;

// The size of a request's metadata, in bytes.
constexpr int kMaxMetadataBytes = 16 << 10;

// gRPC has a few pollers. It starts further threads only for services that
// block, of which there are none.
constexpr int kMaxThreads = 16;

// Memory into which gRPC reads a connection: it uses at most four such pieces.
constexpr int kMaxReadChunkBytes = 64 << 10;

// The environment variable that turns parts of gRPC on and, after "-", off.
constexpr char kExperiments[] = "GRPC_EXPERIMENTS";
// With this part, gRPC 1.51 reads into as much memory as a client has recently
// sent without a pause, which may be most of the quota. Without it, the size of
// chunks is limited.
constexpr char kNoReadChunks[] = "-tcp_read_chunks";

// A setting of gRPC, for which its largest value means "no limit".
int Milliseconds(absl::Duration duration) {
  return static_cast<int>(
      std::min<int64_t>(absl::ToInt64Milliseconds(duration), INT_MAX));
}

void SetKeepalive(const Options& options, grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             kKeepaliveTimeoutMs);
  // Otherwise gRPC allows clients without calls one ping in two hours, and
  // sends them two itself.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
      Milliseconds(options.min_client_ping_interval));
}

void SetConnectionAge(const Options& options, grpc::ServerBuilder& builder) {
  if (options.max_connection_age == absl::ZeroDuration()) return;
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                             Milliseconds(options.max_connection_age));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
                             Milliseconds(options.max_connection_age_grace));
}

}  // namespace

void PrepareGrpc() {
  const char* const given = std::getenv(kExperiments);
  const std::string value = given == nullptr || *given == '\0'
                                ? kNoReadChunks
                                : absl::StrCat(given, ",", kNoReadChunks);
  setenv(kExperiments, value.c_str(), /*overwrite=*/1);
}

void ConfigureGrpc(const Options& options, grpc::ServerBuilder& builder) {
  grpc::ResourceQuota quota("rwkvd");
  quota.Resize(static_cast<size_t>(options.grpc_memory_bytes));
  quota.SetMaxThreads(kMaxThreads);
  builder.SetResourceQuota(quota);
  builder.AddChannelArgument(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE,
                             kMaxReadChunkBytes);
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             options.max_streams_per_connection);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                             kHandshakeTimeoutMs);
  // gRPC applies the limit of messages before it inflates them.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  SetKeepalive(options, builder);
  SetConnectionAge(options, builder);
}

}  // namespace rwkvd
