// SPDX-License-Identifier: Apache-2.0
// End to end: streaming gRPC clients on loopback against the real server in
// this process, with an RWKV-4 network of random bf16 weights of the 430M
// shape. For 1, 4, 16 and 32 clients that each send 16 prompt tokens and take
// 64 tokens, it prints tokens per second, the time to the first token, the
// time between tokens, and the shares of this machine's read bandwidth and f32
// multiply-adds that these tokens need.
// Run with: bazel run -c opt //tests/bench:service_bench
// Weights are written once to the folder for temporary files (0.9 GB).

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/check.h"
#include "core/checkpoint/tensor_file.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "rwkv/v1/rwkv.grpc.pb.h"
#include "service/options.h"
#include "service/served_model.h"
#include "service/server.h"
#include "tests/bench/machine_limits.h"
#include "tests/bench/random_model.h"

namespace rwkvd::bench {
namespace {

namespace v1 = ::rwkv::v1;

constexpr int kPromptTokens = 16;
constexpr int kTokens = 64;

// What one client saw, in seconds.
struct Observed {
  double first_token = 0;
  std::vector<double> between_tokens;
};

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
}

void WaitUntilServing(const std::string& address) {
  const auto stub = grpc::health::v1::Health::NewStub(Connect(address));
  grpc::ClientContext context;
  const auto reader =
      stub->Watch(&context, grpc::health::v1::HealthCheckRequest());
  grpc::health::v1::HealthCheckResponse response;
  while (reader->Read(&response)) {
    if (response.status() == grpc::health::v1::HealthCheckResponse::SERVING) {
      context.TryCancel();
      return;
    }
  }
  RWKVD_CHECK(false);
}

Observed RunClient(const std::string& address, int client) {
  const auto stub = v1::RwkvService::NewStub(Connect(address));
  v1::GenerateRequest request;
  for (int i = 0; i < kPromptTokens; ++i) {
    // Unlike any other prompt, so that no prefix is found in the cache.
    request.mutable_prompt()->mutable_tokens()->add_ids(1 + client * 17 + i);
  }
  request.set_max_tokens(kTokens);
  request.mutable_sampling()->set_seed(client);
  Observed observed;
  grpc::ClientContext context;
  const absl::Time begin = absl::Now();
  absl::Time last = begin;
  const auto reader = stub->Generate(&context, request);
  v1::GenerateResponse response;
  int tokens = 0;
  while (reader->Read(&response)) {
    const absl::Time now = absl::Now();
    const int arrived = response.delta().tokens_size();
    if (arrived > 0 && tokens == 0) {
      observed.first_token = absl::ToDoubleSeconds(now - begin);
    } else if (arrived > 0) {
      observed.between_tokens.push_back(absl::ToDoubleSeconds(now - last));
    }
    last = now;
    tokens += arrived;
  }
  RWKVD_CHECK(reader->Finish().ok());
  RWKVD_CHECK(tokens == kTokens);
  return observed;
}

double Percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * (values.size() - 1))];
}

void Measure(const std::string& address, int num_clients, int* next_client,
             const Limits& limits, int64_t weights) {
  std::vector<Observed> observed(num_clients);
  std::vector<std::thread> threads;
  const absl::Time begin = absl::Now();
  for (int i = 0; i < num_clients; ++i) {
    threads.emplace_back([&, i, client = (*next_client)++] {
      observed[i] = RunClient(address, client);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);

  std::vector<double> first, between;
  for (const Observed& one : observed) {
    first.push_back(one.first_token);
    between.insert(between.end(), one.between_tokens.begin(),
                   one.between_tokens.end());
  }
  const double tokens_per_second = num_clients * kTokens / seconds;
  // A step reads all weights for one token of each client.
  const double read = tokens_per_second / num_clients * weights * 2;
  const double flops =
      2.0 * weights * num_clients * (kTokens + kPromptTokens) / seconds;
  std::printf(
      "%3d clients: %7.1f tokens/s (%5.1f each)  first token %6.1f ms  "
      "between tokens p50 %6.1f p99 %6.1f ms  of read %3.0f %%  of flops "
      "%3.0f %%\n",
      num_clients, tokens_per_second, tokens_per_second / num_clients,
      Percentile(first, 0.5) * 1e3, Percentile(between, 0.5) * 1e3,
      Percentile(between, 0.99) * 1e3,
      100 * read / limits.Best(Resource::kRead),
      100 * flops / limits.Best(Resource::kF32));
}

int Main() {
  const auto file = OpenRandomModel(*FindShape("rwkv4-430M"), 0, DType::kBF16);
  const int64_t weights =
      file->tensor_bytes() / 2 - file->Find("emb.weight")->num_elements();
  Options options;
  options.model = file->path();
  options.tokenizer = "bytes";
  options.engine.state_cache_bytes = 0;
  auto server = Server::Start(options, [&options](LoadProgress& progress) {
    return LoadServedModel(options, progress);
  });
  RWKVD_CHECK(server.ok());
  WaitUntilServing((*server)->address());
  const auto stub = v1::RwkvService::NewStub(Connect((*server)->address()));
  grpc::ClientContext context;
  v1::GetModelResponse model;
  RWKVD_CHECK(stub->GetModel(&context, v1::GetModelRequest(), &model).ok());
  const Limits& limits = MeasureLimits(model.num_threads());
  std::printf("limits: %s; kernels: %s\n", ToString(limits).c_str(),
              model.isa().c_str());
  int next_client = 0;
  for (int clients : {1, 1, 4, 16, 32}) {  // the first warms up
    Measure((*server)->address(), clients, &next_client, limits, weights);
  }
  (*server)->Drain();
  return (*server)->Wait().ok() ? 0 : 1;
}

}  // namespace
}  // namespace rwkvd::bench

int main() { return rwkvd::bench::Main(); }
