// SPDX-License-Identifier: Apache-2.0
//
// The way of a request from its message to the engine.
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "cli/grpc_status.h"
#include "core/base/error.h"
#include "core/base/retry_after.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rwkv/v1/rwkv.grpc.pb.h"
#include "service/auth/account.h"
#include "service/calls/request_message.h"
#include "service/calls/rwkv_service.h"
#include "service/calls/serialize.h"
#include "service/memory_budgets.h"
#include "service/metrics/metrics.h"
#include "service/work_pool.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// The service on a real gRPC server, with the budgets and the pool in the hands
// of the test. Not thread-safe.
class RequestPathTest : public testing::Test {
 protected:
  void SetUp() override { Start({}); }

  void Start(const Options& options, bool open_gate = true) {
    Stop();
    gate_ = std::make_unique<StepGate>();
    budgets_ = std::make_unique<MemoryBudgets>(options);
    monitor_ = std::make_unique<CallMonitor>(CallMonitor::Options(),
                                             budgets_->responses, &metrics_);
    pool_ = std::make_unique<WorkPool>(WorkPool::Options{.max_waiting = 2},
                                       &metrics_);
    auto model = NewFakeServedModel(options, gate_.get());
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    if (open_gate) gate_->Open();
    service_ = std::make_unique<RwkvService>(&metrics_, budgets_.get(),
                                             pool_.get(), monitor_.get());
    service_->Serve(model_.get());
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(64 << 20);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterService(service_.get());
    grpc_ = builder.BuildAndStart();
    ASSERT_NE(grpc_, nullptr);
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channel_ = grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port_),
                                         grpc::InsecureChannelCredentials(),
                                         arguments);
    stub_ = v1::RwkvService::NewStub(channel_);
  }

  void TearDown() override { Stop(); }

  void Stop() {
    Unblock();
    if (gate_ != nullptr) gate_->Open();
    if (grpc_ != nullptr) grpc_->Shutdown();
    grpc_.reset();
    service_.reset();
    model_.reset();
    pool_.reset();
  }

  // Keeps the thread of the pool's small lane busy until Unblock.
  void Block() {
    released_ = std::make_unique<absl::Notification>();
    absl::Notification begun;
    ASSERT_TRUE(pool_
                    ->Add(1,
                          [&begun, released = released_.get()] {
                            begun.Notify();
                            released->WaitForNotification();
                          })
                    .ok());
    begun.WaitForNotification();
  }
  void Unblock() {
    if (released_ != nullptr && !released_->HasBeenNotified()) {
      released_->Notify();
    }
  }

  grpc::Status Generate(const v1::GenerateRequest& request) {
    grpc::ClientContext context;
    const auto reader = stub_->Generate(&context, request);
    v1::GenerateResponse response;
    while (reader->Read(&response)) continue;
    return reader->Finish();
  }

  // Sends `messages`, which need not be valid, and returns the status.
  grpc::Status Send(const std::string& method,
                    const std::vector<std::string>& messages) {
    grpc::GenericStub stub(channel_);
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    const auto call =
        stub.PrepareCall(&context, "/rwkv.v1.RwkvService/" + method, &queue);
    const auto wait = [&queue] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    call->StartCall(nullptr);
    wait();
    for (const std::string& message : messages) {
      const grpc::Slice slice(message);
      call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
      wait();
    }
    call->WritesDone(nullptr);
    wait();
    do {
      grpc::ByteBuffer response;
      call->Read(&response, nullptr);
    } while (wait());
    grpc::Status status;
    call->Finish(&status, nullptr);
    wait();
    return status;
  }

  int64_t used() const { return budgets_->requests.used(); }

  Metrics metrics_;
  std::unique_ptr<StepGate> gate_;
  std::unique_ptr<absl::Notification> released_;
  std::unique_ptr<MemoryBudgets> budgets_;
  std::unique_ptr<CallMonitor> monitor_;
  std::unique_ptr<WorkPool> pool_;
  std::unique_ptr<ServedModel> model_;
  std::unique_ptr<RwkvService> service_;
  std::unique_ptr<grpc::Server> grpc_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::RwkvService::Stub> stub_;
  int port_ = 0;
};

// The wire format of a field of bytes.
std::string Field(int number, const std::string& bytes) {
  return std::string(1, static_cast<char>(number << 3 | 2)) +
         std::string(1, static_cast<char>(bytes.size())) + bytes;
}

TEST_F(RequestPathTest, TextThatIsNotUtf8IsRefusedWithItsField) {
  const struct {
    const char* method;
    std::string message;
    const char* field;
  } cases[] = {
      {"Generate", Field(1, Field(1, "caf\xc3")), "prompt.text: byte 3"},
      {"Generate", Field(8, "\xff"), "initial_state: byte 0"},
      {"Generate", Field(13, Field(1, "\xff")), "pin.name: byte 0"},
      {"Tokenize", Field(1, "caf\xc3"), "text: byte 3"},
      {"Score", Field(2, Field(1, "\xff")), "continuations[0].text: byte 0"},
      {"ScoreDocument", Field(1, Field(1, "\xff")), "part.text: byte 0"},
      {"UnpinPrefix", Field(1, "\xff"), "name: byte 0"},
      {"GetState", Field(1, "\xff"), "handle: byte 0"},
      {"DeleteState", Field(1, "\xff"), "handle: byte 0"},
  };
  for (const auto& test : cases) {
    const grpc::Status status = Send(test.method, {test.message});
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << test.method;
    EXPECT_THAT(status.error_message(), StartsWith(test.field)) << test.method;
  }
}

// A message that cannot be parsed must not be taken for the end of the stream.
TEST_F(RequestPathTest, MalformedLaterMessageOfAStreamIsRefused) {
  v1::ScoreDocumentRequest part;
  part.mutable_part()->set_text("abc");
  const grpc::Status document = Send(
      "ScoreDocument", {part.SerializeAsString(), Field(1, Field(1, "\xff"))});
  EXPECT_EQ(document.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(document.error_message(), StartsWith("part.text: byte 0"));
  const grpc::Status state = Send("PutState", {"\x0a\x05x"});
  EXPECT_EQ(state.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(state.error_message(), StartsWith("data: the message ends"));
}

TEST_F(RequestPathTest, BytesThatAreNoMessageAreRefusedByEveryMethod) {
  for (const char* method :
       {"Generate", "Tokenize", "Detokenize", "Score", "ScoreDocument",
        "GetModel", "UnpinPrefix", "ListPinnedPrefixes", "PutState", "GetState",
        "DeleteState"}) {
    const grpc::Status status = Send(method, {"\xff\xff"});
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << method << ": " << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr("rwkv.v1.")) << method;
  }
  EXPECT_TRUE(Eventually([&] { return used() == 0; }));
}

TEST_F(RequestPathTest, AcceptedRequestKeepsNoMemoryOfItsMessage) {
  Start({}, /*open_gate=*/false);
  v1::GenerateRequest request = SimpleRequest(1);
  request.mutable_prompt()->set_text(std::string(100'000, 'a'));
  grpc::ClientContext context;
  const auto generate = stub_->Generate(&context, request);
  EXPECT_TRUE(Eventually([&] { return model_->engine->Stats().running == 1; }));
  EXPECT_TRUE(Eventually([&] { return used() == 0; }));
  gate_->Open();
  v1::GenerateResponse response;
  while (generate->Read(&response)) continue;
  EXPECT_TRUE(generate->Finish().ok());
}

TEST_F(RequestPathTest, MessageThatExceedsTheBudgetIsRefused) {
  Options options;
  options.request_memory_bytes = 1 << 20;
  Start(options);
  v1::GenerateRequest request = SimpleRequest(1);
  request.mutable_prompt()->set_text(std::string(2 << 20, 'a'));
  const grpc::Status large = Generate(request);
  EXPECT_EQ(large.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(large.error_message(), HasSubstr("send less in one request"));
  // 40 kB on the wire, but some megabytes in memory.
  v1::ScoreRequest score;
  for (int i = 0; i < 20'000; ++i) score.add_continuations();
  grpc::ClientContext context;
  v1::ScoreResponse response;
  const grpc::Status many = stub_->Score(&context, score, &response);
  EXPECT_EQ(many.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Eventually([&] { return used() == 0; }));
  EXPECT_TRUE(Generate(SimpleRequest(1)).ok());
}

TEST_F(RequestPathTest, FullPoolRefusesWithATimeToRetry) {
  Block();
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>>> calls;
  for (int i = 0; i < 2; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    calls.push_back(stub_->Generate(contexts[i].get(), SimpleRequest(1)));
  }
  const auto size = static_cast<int64_t>(SimpleRequest(1).ByteSizeLong());
  EXPECT_TRUE(Eventually([&] { return used() == 2 * size; }));
  grpc::Status status;
  EXPECT_TRUE(Eventually([&] {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(1)));
    v1::GetModelResponse response;
    status = stub_->GetModel(&context, v1::GetModelRequest(), &response);
    return context.GetServerTrailingMetadata().count(kRetryPushback) == 1;
  }));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  Unblock();
  for (const auto& call : calls) {
    v1::GenerateResponse response;
    while (call->Read(&response)) continue;
    EXPECT_TRUE(call->Finish().ok());
  }
}

TEST_F(RequestPathTest, CancelledCallLeavesThePoolAtOnce) {
  Block();
  for (const bool by_deadline : {false, true}) {
    grpc::ClientContext context;
    if (by_deadline) {
      context.set_deadline(
          absl::ToChronoTime(absl::Now() + absl::Milliseconds(200)));
    }
    const auto generate = stub_->Generate(&context, SimpleRequest(1));
    EXPECT_TRUE(Eventually([&] { return used() > 0; }));
    if (!by_deadline) context.TryCancel();
    EXPECT_EQ(generate->Finish().error_code(),
              by_deadline ? grpc::StatusCode::DEADLINE_EXCEEDED
                          : grpc::StatusCode::CANCELLED);
    EXPECT_TRUE(Eventually([&] { return used() == 0; }));
  }
}

TEST_F(RequestPathTest, EveryKindOfCallLeavesThePoolWhenCancelled) {
  Block();
  for (const char* method : {"Generate", "Tokenize", "Score", "ScoreDocument",
                             "GetModel", "PutState", "GetState"}) {
    grpc::GenericStub stub(channel_);
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    const auto call = stub.PrepareCall(
        &context, std::string("/rwkv.v1.RwkvService/") + method, &queue);
    void* tag = nullptr;
    bool ok = false;
    call->StartCall(nullptr);
    queue.Next(&tag, &ok);
    const grpc::Slice slice(Field(15, "unknown"));
    call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    queue.Next(&tag, &ok);
    call->WritesDone(nullptr);
    queue.Next(&tag, &ok);
    EXPECT_TRUE(Eventually([&] { return used() > 0; })) << method;
    context.TryCancel();
    grpc::Status status;
    call->Finish(&status, nullptr);
    queue.Next(&tag, &ok);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED) << method;
    EXPECT_TRUE(Eventually([&] { return used() == 0; })) << method;
  }
}

TEST_F(RequestPathTest, CallThatWaitsDuringADrainIsRefused) {
  Block();
  grpc::ClientContext context;
  const auto generate = stub_->Generate(&context, SimpleRequest(1));
  EXPECT_TRUE(Eventually([&] { return used() > 0; }));
  model_->engine->Drain(absl::InfinitePast());
  Unblock();
  EXPECT_EQ(generate->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(RequestPathTest, TextWithTooManyTokensIsRefusedBeforeItsEnd) {
  Options options;
  options.engine.max_prompt_tokens = 100;
  options.engine.max_score_tokens = 150;
  Start(options);
  v1::GenerateRequest request = SimpleRequest(1);
  request.mutable_prompt()->set_text(std::string(101, 'a'));
  EXPECT_EQ(Generate(request).error_message(),
            "prompt: has more than 100 tokens, must have 0 to 100");
  v1::ScoreRequest score;
  score.mutable_context()->set_text(std::string(90, 'a'));
  score.add_continuations()->set_text(std::string(10, 'a'));
  score.add_continuations()->set_text(std::string(11, 'a'));
  const auto error = [&] {
    grpc::ClientContext context;
    v1::ScoreResponse response;
    return stub_->Score(&context, score, &response).error_message();
  };
  EXPECT_EQ(error(),
            "continuations[1]: has more than 10 tokens, must have 0 to 10");
  for (int i = 1; i < 7; ++i) {
    if (i > 1) score.add_continuations();
    score.mutable_continuations(i)->set_text(std::string(10, 'a'));
  }
  EXPECT_EQ(error(),
            "continuations[6]: has more than 0 tokens, must have 0 to 0 "
            "because of the limit on all texts together");
}

TEST_F(RequestPathTest, DeadlineBeyondTheRepresentableMeansNone) {
  // gRPC's clients in Go send this for their longest timeout.
  for (const int64_t hours : {876'000, 2'500'000, 2'562'047}) {
    grpc::ClientContext context;
    const gpr_timespec deadline = gpr_time_add(
        gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_hours(hours, GPR_TIMESPAN));
    context.set_deadline(deadline);
    const auto generate = stub_->Generate(&context, SimpleRequest(1));
    v1::GenerateResponse response;
    while (generate->Read(&response)) continue;
    const grpc::Status status = generate->Finish();
    EXPECT_TRUE(status.ok()) << hours << ": " << status.error_message();
  }
}

TEST_F(RequestPathTest, MessageIsReservedUntilItsRequestIsConverted) {
  const CallEnvironment environment = {
      model_.get(),   &metrics_, budgets_.get(), pool_.get(),
      monitor_.get(), nullptr,   nullptr};
  v1::GenerateRequest request = SimpleRequest(1);
  request.mutable_prompt()->set_text(std::string(10'000, 'a'));
  const grpc::ByteBuffer arrived = ToByteBuffer(request);
  const auto size = static_cast<int64_t>(arrived.Length());
  {
    auto message = RequestMessage::Take(&arrived, environment);
    ASSERT_TRUE(message.ok());
    EXPECT_EQ(arrived.Length(), 0u) << "the bytes have one owner";
    EXPECT_EQ(message->size(), size);
    EXPECT_EQ(used(), size);
    v1::GenerateRequest parsed;
    ASSERT_TRUE(message->ParseInto(&parsed).ok());
    EXPECT_EQ(parsed.prompt().text().size(), 10'000u);
    EXPECT_GE(used(), static_cast<int64_t>(parsed.SpaceUsedLong()));
    EXPECT_LT(used(), 2 * size) << "the wire format is gone";
  }
  EXPECT_EQ(used(), 0);
}

TEST_F(RequestPathTest, MessageIsReservedInTheShareOfItsCaller) {
  CallEnvironment environment = {model_.get(), &metrics_,      budgets_.get(),
                                 pool_.get(),  monitor_.get(), nullptr,
                                 nullptr};
  const auto account = std::make_shared<Account>();
  account->SetByteLimits({.message_bytes = {.bytes = 30'000}}, 1 << 20,
                         1 << 20);
  environment.caller.account = account;
  const ByteBudget& share = account->message_bytes();
  v1::GenerateRequest request = SimpleRequest(1);
  request.mutable_prompt()->set_text(std::string(20'000, 'a'));
  const grpc::ByteBuffer first = ToByteBuffer(request);
  const grpc::ByteBuffer second = ToByteBuffer(request);
  const auto size = static_cast<int64_t>(first.Length());
  {
    auto message = RequestMessage::Take(&first, environment);
    ASSERT_TRUE(message.ok());
    EXPECT_EQ(share.used(), size);
    const auto refused = RequestMessage::Take(&second, environment);
    EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kQuotaExceeded);
    EXPECT_EQ(QuotaOf(refused.status()), "message_bytes");
    EXPECT_TRUE(RetryAfter(refused.status()).has_value());
    EXPECT_EQ(used(), size) << "the refused message has reserved nothing";
    // Parsing needs the bytes and the message at the same time.
    const absl::Status parsed = message->ParseInto(&request);
    EXPECT_EQ(ReasonOf(parsed), ErrorReason::kMessageExceedsMemory);
    EXPECT_EQ(QuotaOf(parsed), "message_bytes");
    environment.caller.account = nullptr;
    EXPECT_EQ(account.use_count(), 2) << "the message keeps its share";
    EXPECT_TRUE(RequestMessage::Take(&second, environment).ok());
  }
  EXPECT_EQ(share.used(), 0);
}

}  // namespace
}  // namespace rwkvd
