// SPDX-License-Identifier: Apache-2.0
// Quotas of identities, on real servers.

#include <grpcpp/support/error_details.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"
#include "service/auth/quotas.h"
#include "service/memory_budgets.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

// What the details of an error say about a quota.
struct QuotaError {
  grpc::StatusCode code = grpc::StatusCode::OK;
  std::string reason;
  std::string quota;
  bool has_retry_time = false;
};

QuotaError QuotaErrorIn(const grpc::Status& status) {
  QuotaError error = {status.error_code()};
  google::rpc::Status details;
  if (!grpc::ExtractErrorDetails(status, &details).ok()) return error;
  for (const google::protobuf::Any& any : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::QuotaFailure failure;
    if (any.UnpackTo(&info)) error.reason = info.reason();
    if (any.UnpackTo(&failure)) error.quota = failure.violations(0).subject();
    if (any.Is<google::rpc::RetryInfo>()) error.has_retry_time = true;
  }
  return error;
}

void ExpectQuota(const grpc::Status& status, const std::string& quota) {
  const QuotaError error = QuotaErrorIn(status);
  EXPECT_EQ(error.code, grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(error.reason, "QUOTA_EXCEEDED") << status.error_message();
  EXPECT_EQ(error.quota, quota);
  EXPECT_TRUE(error.has_retry_time);
}

// A server with the identities a, which has the given quotas, and b, which has
// none. The token of each is its name. Its gate is open.
class QuotaServer {
 public:
  explicit QuotaServer(const std::string& quotas, Options options = {})
      : server_(WithTokens(quotas, std::move(options))),
        stub_(server_.NewStub()) {
    server_.gate().Open();
  }

  TestServer& server() { return server_; }
  v1::RwkvService::Stub& stub() { return *stub_; }

  // The response of a Generate call, merged.
  struct Result {
    grpc::Status status;
    int num_tokens = 0;
    v1::Finish finish;
  };
  Result Generate(const std::string& who, const v1::GenerateRequest& request) {
    grpc::ClientContext context;
    AddToken(who, &context);
    const auto reader = stub_->Generate(&context, request);
    return Read(reader.get());
  }
  static Result Read(grpc::ClientReader<v1::GenerateResponse>* reader) {
    Result result;
    v1::GenerateResponse response;
    while (reader->Read(&response)) {
      result.num_tokens += response.delta().tokens_size();
      if (response.has_finish()) result.finish = response.finish();
    }
    result.status = reader->Finish();
    return result;
  }

  grpc::Status Put(const std::string& who, const v1::PutStateRequest& request,
                   v1::PutStateResponse* response) {
    grpc::ClientContext context;
    AddToken(who, &context);
    const auto writer = stub_->PutState(&context, response);
    writer->Write(request);
    writer->WritesDone();
    return writer->Finish();
  }

 private:
  static Options WithTokens(const std::string& quotas, Options options) {
    constexpr char kRoles[] = "roles=infer,score,states,pins ";
    options.auth_tokens = WriteTokenFile(absl::StrCat(
        TokenLine("a", "a", kRoles + quotas), TokenLine("b", "b", kRoles)));
    return options;
  }

  TestServer server_;
  const std::unique_ptr<v1::RwkvService::Stub> stub_;
};

v1::GenerateRequest WithPrompt(size_t size) {
  v1::GenerateRequest request = SimpleRequest(1);
  request.mutable_prompt()->set_text(std::string(size, 'x'));
  return request;
}

TEST(QuotaTest, ErrorsNameQuotasOfTheTokenFile) {
  EXPECT_TRUE(IsQuota(kMessageBytesQuota));
  EXPECT_TRUE(IsQuota(kUnreadBytesQuota));
}

TEST(QuotaTest, PromptTokensAreLimitedPerMinute) {
  QuotaServer server("prompt_tokens_per_minute=1");
  EXPECT_TRUE(server.Generate("a", SimpleRequest(1)).status.ok());
  ExpectQuota(server.Generate("a", SimpleRequest(1)).status,
              "prompt_tokens_per_minute");
  EXPECT_TRUE(server.Generate("b", SimpleRequest(1)).status.ok());
}

// A refused request costs nothing.
TEST(QuotaTest, PromptOfARefusedRequestIsGivenBack) {
  QuotaServer server("prompt_tokens_per_minute=1");
  v1::GenerateRequest unknown = SimpleRequest(1);
  unknown.set_state_handle("unknown");
  EXPECT_EQ(server.Generate("a", unknown).status.error_code(),
            grpc::StatusCode::NOT_FOUND);
  v1::ScoreRequest score;
  score.add_continuations();  // without tokens
  grpc::ClientContext context;
  AddToken("a", &context);
  v1::ScoreResponse response;
  EXPECT_EQ(server.stub().Score(&context, score, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(server.Generate("a", SimpleRequest(1)).status.ok());
}

TEST(QuotaTest, CallMayGenerateMoreThanIsLeftAndLaterOnesWait) {
  QuotaServer server("generated_tokens_per_minute=20");
  EXPECT_TRUE(server.Generate("a", SimpleRequest(30)).status.ok());
  const grpc::Status refused = server.Generate("a", SimpleRequest(1)).status;
  ExpectQuota(refused, "generated_tokens_per_minute");
  EXPECT_TRUE(server.Generate("b", SimpleRequest(30)).status.ok());
  v1::ScoreRequest score;
  score.add_continuations()->set_text("scores generate nothing");
  grpc::ClientContext context;
  AddToken("a", &context);
  v1::ScoreResponse response;
  EXPECT_TRUE(server.stub().Score(&context, score, &response).ok());
}

TEST(QuotaTest, CallEndsWhenItsIdentityOwesAMinuteOfTokens) {
  // A token flows in every two seconds.
  QuotaServer server("generated_tokens_per_minute=30");
  v1::GenerateRequest request = SimpleRequest(100'000);
  request.set_logprobs(true);
  const QuotaServer::Result ended = server.Generate("a", request);
  ExpectQuota(ended.status, "generated_tokens_per_minute");
  EXPECT_THAT(ended.status.error_message(), HasSubstr("the call ends early"));
  // The tokens until then have been sent.
  EXPECT_GE(ended.num_tokens, 60);
  EXPECT_LE(ended.num_tokens, 75);
  EXPECT_TRUE(Eventually(
      [&] { return server.server().engine().Stats().running == 0; }));
  const v1::GenerateRequest other = SimpleRequest(1000);
  EXPECT_TRUE(server.Generate("b", other).status.ok());
}

TEST(QuotaTest, SamplesTogetherExceedTheirTokensByAStepAtMost) {
  constexpr int kSamples = 8;
  Options options;
  options.engine.max_running = 64;
  QuotaServer server("generated_tokens_per_minute=100", options);
  v1::GenerateRequest request = SimpleRequest(100'000);
  request.set_n(kSamples);
  request.set_logprobs(true);
  const QuotaServer::Result ended = server.Generate("a", request);
  ExpectQuota(ended.status, "generated_tokens_per_minute");
  EXPECT_GE(ended.num_tokens, 200);
  // What flows in meanwhile, in ten seconds, and one of each sample.
  EXPECT_LE(ended.num_tokens, 200 + 17 + kSamples);
}

// It is not lost: it had all that it was to have.
TEST(QuotaTest, SampleThatEndsByItselfWithTheLastTokenSucceeds) {
  QuotaServer server("generated_tokens_per_minute=10");
  const QuotaServer::Result last = server.Generate("a", SimpleRequest(20));
  EXPECT_TRUE(last.status.ok()) << last.status.error_message();
  EXPECT_EQ(last.finish.usage().generated_tokens(), 20);
}

TEST(QuotaTest, PinsAreLimited) {
  QuotaServer server("max_pins=1");
  v1::GenerateRequest request = SimpleRequest(1);
  request.mutable_pin()->set_name("one");
  EXPECT_TRUE(server.Generate("a", request).status.ok());
  request.mutable_pin()->set_name("two");
  const grpc::Status refused = server.Generate("a", request).status;
  EXPECT_THAT(refused.error_message(), HasSubstr("the limit is 1"));
  EXPECT_EQ(QuotaErrorIn(refused).reason, "PINS_EXHAUSTED");
  EXPECT_EQ(QuotaErrorIn(refused).quota, "max_pins");
}

TEST(QuotaTest, SavedStatesAreLimitedInBytes) {
  QuotaServer server("state_store_mib=1");
  v1::GenerateRequest request = WithPrompt(150'000);  // 600 KB as tokens
  request.mutable_return_state()->set_at_end(true);
  request.mutable_return_state()->set_as_handle(true);
  EXPECT_TRUE(server.Generate("a", request).status.ok());
  const QuotaError refused = QuotaErrorIn(server.Generate("a", request).status);
  EXPECT_EQ(refused.code, grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(refused.reason, "STATE_STORE_FULL");
  EXPECT_EQ(refused.quota, "identity_state_store_mib");
  EXPECT_TRUE(refused.has_retry_time);
  EXPECT_TRUE(server.Generate("b", request).status.ok());
}

TEST(QuotaTest, RunningAndWaitingRequestsAreLimited) {
  QuotaServer server("max_running=1 max_queued=2");
  v1::GenerateRequest request = SimpleRequest(1);
  request.set_n(4);
  const grpc::Status status = server.Generate("a", request).status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("n: 4 samples, but at most 1"));
  request.set_n(3);
  EXPECT_TRUE(server.Generate("a", request).status.ok());
}

class TimeToLiveTest : public ::testing::Test {
 protected:
  static v1::GenerateRequest SavingRequest() {
    v1::GenerateRequest request = SimpleRequest(1);
    request.mutable_return_state()->set_at_end(true);
    request.mutable_return_state()->set_as_handle(true);
    return request;
  }
  static v1::GenerateRequest PinningRequest() {
    v1::GenerateRequest request = SimpleRequest(1);
    request.mutable_pin()->set_name("p");
    return request;
  }
  static void ExpectTooLong(const grpc::Status& status,
                            const std::string& field) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(status.error_message(),
              field +
                  ": 11 is more than the 10 that this identity may ask for "
                  "(max_ttl_seconds)");
    EXPECT_EQ(QuotaErrorIn(status).quota, "max_ttl_seconds");
  }

  QuotaServer server_{"max_ttl_seconds=10"};
};

TEST_F(TimeToLiveTest, RequestForMoreIsRefused) {
  v1::GenerateRequest saving = SavingRequest();
  saving.mutable_return_state()->set_ttl_seconds(11);
  ExpectTooLong(server_.Generate("a", saving).status,
                "return_state.ttl_seconds");
  v1::GenerateRequest pinning = PinningRequest();
  pinning.mutable_pin()->set_ttl_seconds(11);
  ExpectTooLong(server_.Generate("a", pinning).status, "pin.ttl_seconds");
  v1::PutStateRequest put;
  put.set_ttl_seconds(11);
  v1::PutStateResponse response;
  ExpectTooLong(server_.Put("a", put, &response), "ttl_seconds");
  EXPECT_TRUE(server_.Generate("b", saving).status.ok());
  EXPECT_TRUE(server_.Generate("b", pinning).status.ok());
}

TEST_F(TimeToLiveTest, DefaultIsTheLimit) {
  const auto saved = [&](const char* who) {
    return server_.Generate(who, SavingRequest())
        .finish.state()
        .expires_in_seconds();
  };
  EXPECT_GT(saved("a"), 0);
  EXPECT_LE(saved("a"), 10);
  EXPECT_GT(saved("b"), 60);
  ASSERT_TRUE(server_.Generate("a", PinningRequest()).status.ok());
  grpc::ClientContext context;
  AddToken("a", &context);
  v1::ListPinnedPrefixesResponse pins;
  ASSERT_TRUE(server_.stub().ListPinnedPrefixes(&context, {}, &pins).ok());
  ASSERT_EQ(pins.prefixes_size(), 1);
  ASSERT_TRUE(pins.prefixes(0).has_expires_in_seconds());
  EXPECT_LE(pins.prefixes(0).expires_in_seconds(), 10);
}

TEST_F(TimeToLiveTest, StateThatIsPutHasIt) {
  v1::GenerateRequest request = SimpleRequest(1);
  request.mutable_return_state()->set_at_end(true);
  grpc::ClientContext context;
  AddToken("a", &context);
  const auto reader = server_.stub().Generate(&context, request);
  v1::GenerateResponse response;
  v1::PutStateRequest put;
  while (reader->Read(&response)) {
    if (!response.has_state_chunk()) continue;
    put.set_data(put.data() + response.state_chunk().data());
  }
  ASSERT_TRUE(reader->Finish().ok());
  v1::PutStateResponse state;
  ASSERT_TRUE(server_.Put("a", put, &state).ok());
  EXPECT_LE(state.state().expires_in_seconds(), 10);
  EXPECT_GT(state.state().expires_in_seconds(), 0);
}

TEST(MessageBytesTest, RequestThatIsLargerThanTheQuotaIsRefusedForGood) {
  QuotaServer server("message_bytes=10000");
  EXPECT_TRUE(server.Generate("a", WithPrompt(10)).status.ok());
  const QuotaError refused =
      QuotaErrorIn(server.Generate("a", WithPrompt(20'000)).status);
  EXPECT_EQ(refused.code, grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(refused.reason, "MESSAGE_EXCEEDS_MEMORY");
  EXPECT_EQ(refused.quota, "message_bytes");
  EXPECT_FALSE(refused.has_retry_time);
  EXPECT_TRUE(server.Generate("b", WithPrompt(20'000)).status.ok());
}

// A PutState call holds the part of a state that it has received.
TEST(MessageBytesTest, HeldMessagesCountUntilTheirCallsEnd) {
  QuotaServer server("message_bytes=2000000");
  EXPECT_TRUE(server.Generate("a", WithPrompt(120'000)).status.ok());
  grpc::ClientContext context;
  AddToken("a", &context);
  v1::PutStateResponse response;
  const auto writer = server.stub().PutState(&context, &response);
  v1::PutStateRequest part;
  part.set_data(std::string(200'000, 'x'));
  // The call holds a string whose capacity doubles: 800,000 bytes in the end.
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(writer->Write(part));
  ASSERT_TRUE(Eventually(
      [&] { return server.server().server().request_bytes() == 800'000; }));
  ExpectQuota(server.Generate("a", WithPrompt(120'000)).status,
              "message_bytes");
  EXPECT_TRUE(server.Generate("b", WithPrompt(120'000)).status.ok());
  context.TryCancel();
  writer->Finish();
  EXPECT_TRUE(Eventually(
      [&] { return server.Generate("a", WithPrompt(120'000)).status.ok(); }));
}

// A request whose response has about 430 bytes per echoed token, of which
// clients that do not read take some megabytes.
v1::GenerateRequest EchoRequest(int num_echoed) {
  v1::GenerateRequest request = WithPrompt(num_echoed);
  request.set_max_tokens(0);
  request.set_echo_top_logprobs(32);
  return request;
}

TEST(UnreadBytesTest, ResponseThatCannotFitIsRefusedAtOnce) {
  QuotaServer server("unread_bytes=1000000");
  const QuotaError refused =
      QuotaErrorIn(server.Generate("a", EchoRequest(5000)).status);
  EXPECT_EQ(refused.code, grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(refused.reason, "RESPONSE_EXCEEDS_MEMORY");
  EXPECT_EQ(refused.quota, "unread_bytes");
  EXPECT_TRUE(server.Generate("b", EchoRequest(5000)).status.ok());
}

TEST(UnreadBytesTest, OwnCallsAreGivenUpBeyondTheQuota) {
  constexpr int kCalls = 5;
  constexpr int kEchoed = 20'000;
  QuotaServer server("unread_bytes=20000000");
  const auto open = [&](const char* who, grpc::ClientContext* context) {
    AddToken(who, context);
    return server.stub().Generate(context, EchoRequest(kEchoed));
  };
  grpc::ClientContext other_context;
  const auto other = open("b", &other_context);
  ASSERT_TRUE(Eventually(
      [&] { return server.server().NumFinished(FinishReason::kLength) == 1; }));
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<decltype(open("", nullptr))> calls;
  for (int i = 0; i < kCalls; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    calls.push_back(open("a", contexts.back().get()));
  }
  ASSERT_TRUE(Eventually([&] {
    return server.server().NumFinished(FinishReason::kLength) +
               server.server().NumFinished(FinishReason::kCancelled) ==
           1 + kCalls;
  }));
  int given_up = 0;
  for (const auto& call : calls) {
    const grpc::Status status = QuotaServer::Read(call.get()).status;
    if (status.ok()) continue;
    ++given_up;
    ExpectQuota(status, "unread_bytes");
  }
  EXPECT_GE(given_up, 1);
  EXPECT_LT(given_up, kCalls);
  const grpc::Status status = QuotaServer::Read(other.get()).status;
  EXPECT_TRUE(status.ok()) << status.error_message();
}

}  // namespace
}  // namespace rwkvd
