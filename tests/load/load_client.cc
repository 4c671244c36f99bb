// SPDX-License-Identifier: Apache-2.0
#include "tests/load/load_client.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>

#include <cstdint>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/check.h"
#include "tests/load/cutting_proxy.h"

namespace rwkvd::testing {
namespace {

namespace v1 = ::rwkv::v1;

// A slow reader pauses before each of its first messages.
constexpr int kPauses = 25;
constexpr int kMaxPauseMs = 80;

// When a refused request is sent again if the server does not say.
constexpr absl::Duration kDefaultRetryTime = absl::Milliseconds(100);

std::unique_ptr<v1::RwkvService::Stub> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES,
                   0);  // so that the server sees each call once
  return v1::RwkvService::NewStub(grpc::CreateCustomChannel(
      address, grpc::InsecureChannelCredentials(), arguments));
}

void Pause(std::mt19937_64& random) {
  std::uniform_int_distribution<int> milliseconds(0, kMaxPauseMs);
  absl::SleepFor(absl::Milliseconds(milliseconds(random)));
}

// The time after which the server wants a refused call again.
absl::Duration RetryTime(const grpc::ClientContext& context) {
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto found = trailers.find("grpc-retry-pushback-ms");
  int64_t milliseconds = 0;
  if (found == trailers.end() ||
      !absl::SimpleAtoi(
          absl::string_view(found->second.data(), found->second.size()),
          &milliseconds)) {
    return kDefaultRetryTime;
  }
  return absl::Milliseconds(milliseconds);
}

LoadAnswer Read(v1::RwkvService::Stub& stub, const v1::GenerateRequest& request,
                const Behavior& behavior, std::mt19937_64& random) {
  using Kind = Behavior::Kind;
  grpc::ClientContext context;
  if (behavior.kind == Kind::kDeadline) {
    context.set_deadline(
        absl::ToChronoTime(absl::Now() + absl::Milliseconds(behavior.amount)));
  }
  const auto reader = stub.Generate(&context, request);
  LoadAnswer answer;
  v1::GenerateResponse response;
  for (int64_t messages = 0;; ++messages) {
    if (behavior.kind == Kind::kCancel && messages == behavior.amount) {
      context.TryCancel();
    }
    if (behavior.kind == Kind::kSlow && messages < kPauses) Pause(random);
    if (!reader->Read(&response)) break;
    answer.Add(response);
  }
  answer.status = reader->Finish();
  answer.retry_after = RetryTime(context);
  return answer;
}

}  // namespace

LoadClient::LoadClient(const std::string& server, int connections)
    : server_(server) {
  for (int i = 0; i < connections; ++i) stubs_.push_back(Connect(server));
  grpc::ClientContext context;
  RWKVD_CHECK(stubs_[0]->GetModel(&context, {}, &model_).ok());
}

LoadAnswer LoadClient::Ask(const v1::GenerateRequest& request,
                           const Behavior& behavior,
                           std::mt19937_64& random) const {
  if (behavior.kind != Behavior::Kind::kCut) {
    return Read(*stubs_[random() % stubs_.size()], request, behavior, random);
  }
  const CuttingProxy proxy(
      server_, behavior.amount,
      behavior.reset ? CuttingProxy::Cut::kReset : CuttingProxy::Cut::kClose);
  return Read(*Connect(proxy.address()), request, behavior, random);
}

}  // namespace rwkvd::testing
