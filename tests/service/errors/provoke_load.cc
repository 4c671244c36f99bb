// SPDX-License-Identifier: Apache-2.0
// Errors of a server that has too much to do, or whose clients are too slow.

#include <memory>
#include <string>
#include <vector>

#include "core/base/monotonic_clock.h"
#include "service/calls/state_transfers.h"
#include "service/convert/request_memory.h"
#include "service/metrics/metrics.h"
#include "service/work_pool.h"
#include "tests/service/errors/provoked.h"

namespace rwkvd {
namespace {

// A limit that one request of a hundred tokens reaches.
Options WithoutRoom() {
  Options options;
  options.engine.max_running = 1;
  options.engine.max_queued = 0;
  options.engine.max_prompt_tokens = 10;
  options.engine.max_generated_tokens = 100;
  options.engine.max_total_tokens = 110;
  return options;
}

// The error of a request while another one runs, in a server with one slot.
ProvokedError SecondRequestError(const Options& options) {
  TestServer server(options);
  const auto stub = server.NewStub();
  grpc::ClientContext context;
  const auto running = stub->Generate(&context, SimpleRequest(90));
  server.gate().WaitForArrivals(1);
  const ProvokedError error = GenerateError(server, SimpleRequest(90));
  context.TryCancel();
  server.gate().Open();
  running->Finish();
  return error;
}

// The error of a second request of an identity that may have one.
ProvokedError QuotaExceeded() {
  Options options;
  options.auth_tokens = WriteTokenFile(
      TokenLine("a", "t", "roles=infer max_running=1 max_queued=1"));
  TestServer server(options);
  const auto stub = server.NewStub();
  ProvokedError error;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>>> calls;
  for (int i = 0; i < 3; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    AddToken("t", contexts.back().get());
    calls.push_back(stub->Generate(contexts.back().get(), SimpleRequest(90)));
    // Each is reserved before the next one arrives.
    if (i < 2) {
      Eventually([&] {
        const EngineLoad load = server.engine().Load(MonotonicNow());
        return load.running + load.queued == i + 1;
      });
    }
  }
  error = Ended(calls.back()->Finish(), *contexts.back(),
                v1::GenerateRequest::descriptor());
  for (const auto& context : contexts) context->TryCancel();
  server.gate().Open();
  for (int i = 0; i < 2; ++i) calls[i]->Finish();
  return error;
}

// A stream of ScoreDocument that has been answered once.
struct OpenDocument {
  explicit OpenDocument(v1::RwkvService::Stub& stub)
      : stream(stub.ScoreDocument(&context)) {
    v1::ScoreDocumentRequest request;
    request.mutable_part()->set_text("a");
    request.set_token_scores(true);
    stream->Write(request);
    v1::ScoreDocumentResponse response;
    is_open = stream->Read(&response);
  }

  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ScoreDocumentRequest,
                                           v1::ScoreDocumentResponse>>
      stream;
  bool is_open = false;
};

ProvokedError TooManyDocuments() {
  Options options;
  options.engine.max_running = 2;
  TestServer server(options);
  server.gate().Open();
  const auto stub = server.NewStub();
  std::vector<std::unique_ptr<OpenDocument>> documents;
  do {
    documents.push_back(std::make_unique<OpenDocument>(*stub));
  } while (documents.back()->is_open);
  OpenDocument& last = *documents.back();
  return Ended(last.stream->Finish(), last.context,
               v1::ScoreDocumentRequest::descriptor());
}

ProvokedError TooManyTransfers() {
  const TestServer server;
  const auto stub = server.NewStub();
  // Each waits for a message of its client.
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientWriter<v1::PutStateRequest>>> open;
  v1::PutStateResponse response;
  for (int i = 0; i < kMaxStateTransfers; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    open.push_back(stub->PutState(contexts.back().get(), &response));
  }
  // One more ends at once: as an empty state, until the others have arrived.
  ProvokedError error;
  Eventually([&] {
    grpc::ClientContext context;
    v1::PutStateResponse unused;
    const auto writer = stub->PutState(&context, &unused);
    writer->WritesDone();
    error = Ended(writer->Finish(), context, v1::PutStateRequest::descriptor());
    return error.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
  });
  for (const auto& context : contexts) context->TryCancel();
  for (const auto& writer : open) writer->Finish();
  return error;
}

ProvokedError TooManyWatches() {
  Options options;
  options.max_streams_per_connection = 1000;
  const TestServer server(options);
  const auto stub = server.NewHealthStub();
  struct Watch {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<grpc::health::v1::HealthCheckResponse>>
        reader;
  };
  std::vector<std::unique_ptr<Watch>> watches;
  grpc::health::v1::HealthCheckResponse response;
  do {
    watches.push_back(std::make_unique<Watch>());
    Watch& last = *watches.back();
    last.reader = stub->Watch(&last.context, {});
  } while (watches.back()->reader->Read(&response));
  Watch& refused = *watches.back();
  const ProvokedError error =
      Ended(refused.reader->Finish(), refused.context,
            grpc::health::v1::HealthCheckRequest::descriptor());
  for (const auto& watch : watches) watch->context.TryCancel();
  return error;
}

// A call of which a monitor says why it gives it up. Not thread-safe.
class GivenUpCall final : public MonitoredCall {
 public:
  GivenUpCall(CallMonitor* monitor, grpc::CallbackServerContext* context)
      : MonitoredCall(monitor, context) {}

  using MonitoredCall::Done;
  absl::Status why;

 private:
  bool GiveUp(GiveUpReason, const absl::Status& reason) override {
    why = reason;
    return true;
  }
};

// A slot is lost only after five seconds.
ProvokedError StreamSlotLost() {
  Metrics metrics;
  CallMonitor monitor({}, std::make_shared<ByteBudget>(1), &metrics);
  grpc::CallbackServerContext context;
  auto* const call = new GivenUpCall(&monitor, &context);
  monitor.GiveUp(call, GiveUpReason::kSlots);
  const absl::Status why = call->why;
  call->Done();
  return Sent(why);
}

}  // namespace

void AddLoadProvokers(Provokers* provokers) {
  Provokers& on = *provokers;
  on[ErrorReason::kQueueFull] = [] {
    return SecondRequestError(WithoutRoom());
  };
  on[ErrorReason::kQueueTimeExceeded] = [] {
    Options options;
    options.engine.max_queue_time = absl::Nanoseconds(1);
    return GenerateError(TestServer(options), SimpleRequest(1));
  };
  on[ErrorReason::kQuotaExceeded] = QuotaExceeded;
  on[ErrorReason::kTotalTokensExceeded] = [] {
    Options options = WithoutRoom();
    options.engine.max_queued = 1;
    return SecondRequestError(options);
  };
  on[ErrorReason::kRequestMemoryExhausted] = [] {
    ByteBudget budget(100);
    const auto others = budget.Reserve(60);
    return Sent(OutOfRequestMemory(50, budget));
  };
  on[ErrorReason::kParseQueueFull] = [] {
    Metrics metrics;
    WorkPool pool({.max_waiting = 0}, &metrics);
    return Sent(pool.Add(1, [] {}).status());
  };
  on[ErrorReason::kTooManyTransfers] = TooManyTransfers;
  on[ErrorReason::kTooManyDocuments] = TooManyDocuments;
  on[ErrorReason::kMessageExceedsMemory] = [] {
    const ByteBudget budget(100);
    return Sent(OutOfRequestMemory(150, budget));
  };
  on[ErrorReason::kResponseExceedsMemory] = [] {
    Options options;
    options.response_memory_bytes = 1 << 20;
    v1::GenerateRequest request = SimpleRequest(10'000);
    request.set_top_logprobs(32);
    return GenerateError(TestServer(options), request);
  };
  on[ErrorReason::kPinsExhausted] = [] {
    Options options;
    options.engine.max_pinned = 0;
    TestServer server(options);
    server.gate().Open();
    v1::GenerateRequest request = SimpleRequest(1);
    request.mutable_pin()->set_name("a");
    return GenerateError(server, request);
  };
  on[ErrorReason::kSamplesTooLong] = [] {
    Options options;
    options.response_memory_bytes = 1 << 20;
    TestServer server(options);
    server.gate().Open();
    v1::GenerateRequest request = SimpleRequest(10'000);
    request.set_logprobs(true);
    request.set_best_of(8);
    return GenerateError(server, request);
  };
  on[ErrorReason::kClientTooSlow] = [] {
    Options options;
    options.unread_timeout = absl::Milliseconds(100);
    TestServer server(options);
    server.gate().Open();
    v1::GenerateRequest request = SimpleRequest(200'000);
    request.set_top_logprobs(32);
    grpc::ClientContext context;
    const auto stub = server.NewStub();
    const auto reader = stub->Generate(&context, request);
    Eventually(
        [&] { return server.NumFinished(FinishReason::kCancelled) == 1; });
    v1::GenerateResponse response;
    while (reader->Read(&response)) continue;
    return Ended(reader->Finish(), context, v1::GenerateRequest::descriptor());
  };
  on[ErrorReason::kClientIdle] = [] {
    Options options;
    options.stream_idle_timeout = absl::Milliseconds(100);
    const TestServer server(options);
    grpc::ClientContext context;
    const auto stub = server.NewStub();
    const auto stream = stub->ScoreDocument(&context);
    return Ended(stream->Finish(), context,
                 v1::ScoreDocumentRequest::descriptor());
  };
  on[ErrorReason::kStreamSlotLost] = StreamSlotLost;
  on[ErrorReason::kTooManyWatches] = TooManyWatches;
}

}  // namespace rwkvd
