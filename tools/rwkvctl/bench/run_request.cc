// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/bench/run_request.h"

#include <grpcpp/client_context.h>

#include "absl/time/clock.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

}  // namespace

double SecondsSince(SteadyTime begin) {
  const std::chrono::duration<double> seconds =
      std::chrono::steady_clock::now() - begin;
  return seconds.count();
}

bool RunRequest(v1::RwkvService::StubInterface& stub,
                const v1::GenerateRequest& request, SteadyTime due,
                absl::Duration timeout, Stopper* stopper,
                Measurements* measurements) {
  grpc::ClientContext context;
  if (timeout > absl::ZeroDuration()) {
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  }
  const Stopper::Guard guard(stopper, &context);
  RequestOutcome outcome;
  outcome.prompt_tokens = request.prompt().tokens().ids_size();
  outcome.sent = SecondsSince(due);
  const auto reader = stub.Generate(&context, request);
  v1::GenerateResponse response;
  while (reader->Read(&response)) {
    const double now = SecondsSince(due);
    outcome.cached_tokens = response.finish().usage().cached_tokens();
    if (response.delta().tokens().empty()) continue;
    if (outcome.messages == 0) {
      outcome.first_token = now;
    } else {
      measurements->AddGap(now - outcome.last_token);
    }
    outcome.last_token = now;
    outcome.tokens += response.delta().tokens_size();
    ++outcome.messages;
  }
  outcome.status = reader->Finish();
  outcome.ended = SecondsSince(due);
  outcome.cut_short =
      outcome.status.error_code() == grpc::StatusCode::CANCELLED &&
      stopper->stopped();
  measurements->Add(outcome);
  return outcome.status.ok();
}

}  // namespace rwkvd
