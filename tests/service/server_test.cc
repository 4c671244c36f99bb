// SPDX-License-Identifier: Apache-2.0
#include "service/server.h"

#include <grpcpp/create_channel.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <new>
#include <string>
#include <thread>

#include "absl/synchronization/notification.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kService[] = "rwkv.v1.RwkvService";

grpc::Status GetModel(const TestServer& server,
                      v1::GetModelResponse* response) {
  grpc::ClientContext context;
  return server.NewStub()->GetModel(&context, {}, response);
}

TEST(ServerTest, IsHealthyOnlyBetweenLoadingAndDraining) {
  absl::Notification may_load;
  TestServer server({}, [&] {
    may_load.WaitForNotification();
    return absl::OkStatus();
  });
  EXPECT_EQ(server.Health(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(server.Health(kService), HealthCheckResponse::NOT_SERVING);

  grpc::ClientContext context;
  HealthCheckRequest request;
  request.set_service(kService);
  const auto stub = server.NewHealthStub();
  const auto watch = stub->Watch(&context, request);
  HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  may_load.Notify();
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  EXPECT_EQ(server.Health(), HealthCheckResponse::SERVING);
  server.server().Drain();
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
}

TEST(ServerTest, FailureEndsTheServerWithItsReason) {
  TestServer server;
  grpc::ClientContext context;
  const auto stub = server.NewStub();
  const auto reader = stub->Generate(&context, SimpleRequest(1 << 20));
  grpc::Status end;
  std::thread client([&] {
    v1::GenerateResponse event;
    while (reader->Read(&event)) {
    }
    end = reader->Finish();
  });
  server.gate().WaitForArrivals(1);
  server.server().Fail(absl::DataLossError("the model is gone"));
  server.server().Fail(absl::InternalError("a second reason"));
  EXPECT_EQ(server.Health(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(server.Health(kService), HealthCheckResponse::NOT_SERVING);
  server.gate().Open();
  server.server().Drain();  // nobody has to notice the failure here
  EXPECT_EQ(server.WaitForEnd(), absl::DataLossError("the model is gone"));
  client.join();
  EXPECT_EQ(end.error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST(ServerTest, CallsDuringLoadingAreUnavailable) {
  absl::Notification may_load;
  TestServer server({}, [&] {
    may_load.WaitForNotification();
    return absl::OkStatus();
  });
  v1::GetModelResponse response;
  grpc::Status status = GetModel(server, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("being loaded"));

  grpc::ClientContext context;
  const auto stub = server.NewStub();
  const auto reader = stub->Generate(&context, SimpleRequest(1));
  v1::GenerateResponse event;
  EXPECT_FALSE(reader->Read(&event));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);

  grpc::ClientContext score_context;
  v1::ScoreResponse score;
  EXPECT_EQ(server.NewStub()->Score(&score_context, {}, &score).error_code(),
            grpc::StatusCode::UNAVAILABLE);

  may_load.Notify();
  server.WaitUntilServing();
  EXPECT_TRUE(GetModel(server, &response).ok());
}

TEST(ServerTest, FailedLoadEndsTheServer) {
  TestServer server({}, [] { return absl::NotFoundError("no such model"); });
  const absl::Status end = server.WaitForEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(end.message(), "no such model");
}

TEST(ServerTest, ExceptionDuringLoadingEndsTheServer) {
  TestServer server({}, []() -> absl::Status { throw std::bad_alloc(); });
  EXPECT_EQ(server.WaitForEnd(),
            MakeError(ErrorReason::kOutOfMemory, "out of memory"));
}

TEST(ServerTest, DrainingDuringLoadingDoesNotWaitForTheLoader) {
  absl::Notification may_load;
  Options options;
  options.lame_duck = absl::Hours(1);  // not used before serving
  TestServer server(options, [&] {
    may_load.WaitForNotification();
    return absl::OkStatus();
  });
  server.server().Drain();
  EXPECT_TRUE(server.WaitForEnd().ok());
  EXPECT_TRUE(server.server().loading());
  may_load.Notify();
}

TEST(ServerTest, RequestsAreAcceptedDuringTheLameDuckTime) {
  Options options;
  options.lame_duck = absl::Hours(1);
  TestServer server(options);
  server.gate().Open();
  server.server().Drain();
  EXPECT_EQ(server.Health(), HealthCheckResponse::NOT_SERVING);
  grpc::ClientContext context;
  const auto stub = server.NewStub();
  const auto reader = stub->Generate(&context, SimpleRequest(1));
  v1::GenerateResponse event;
  while (reader->Read(&event)) {
  }
  EXPECT_TRUE(reader->Finish().ok());
  server.server().Drain();  // ends the lame-duck time
  EXPECT_TRUE(server.WaitForEnd().ok());
}

TEST(ServerTest, GetModelDescribesTheModel) {
  TestServer server;
  v1::GetModelResponse model;
  ASSERT_TRUE(GetModel(server, &model).ok());
  EXPECT_EQ(model.name(), "fake");
  EXPECT_EQ(model.vocab_size(), 256);
  EXPECT_EQ(model.tokenizer(), "bytes");
  EXPECT_EQ(model.tokenizer_size(), 256);
  EXPECT_FALSE(model.has_end_of_text_token());
  EXPECT_EQ(model.fingerprint(), "0123");
  EXPECT_EQ(model.max_prompt_tokens(), 1 << 20);
  EXPECT_EQ(model.num_threads(), 1);
  EXPECT_EQ(model.layout(), "native");
  EXPECT_EQ(model.state_bytes(), 16);
  EXPECT_THAT(model.initial_states(), ElementsAre("model", "after-x"));
  EXPECT_EQ(model.default_initial_state(), "model");
}

std::string Generate(const TestServer& server, const std::string& prompt,
                     const std::string& initial_state) {
  v1::GenerateRequest request = SimpleRequest(20);
  request.mutable_prompt()->set_text(prompt);
  request.set_initial_state(initial_state);
  grpc::ClientContext context;
  const auto stub = server.NewStub();
  const auto reader = stub->Generate(&context, request);
  std::string answer;
  v1::GenerateResponse event;
  while (reader->Read(&event)) {
    answer += event.delta().bytes() + event.finish().bytes();
  }
  const grpc::Status status = reader->Finish();
  return status.ok() ? answer : status.error_message();
}

TEST(ServerTest, GenerateStartsFromTheChosenInitialState) {
  TestServer server;
  server.gate().Open();
  const std::string answer = Generate(server, "ab", "after-x");
  EXPECT_EQ(answer, Generate(server, "xab", ""));
  EXPECT_NE(answer, Generate(server, "ab", ""));
  EXPECT_THAT(Generate(server, "ab", "after-y"),
              HasSubstr("no \"after-y\"; this server has model, after-x"));
}

TEST(ServerTest, ScoreStartsFromTheChosenInitialState) {
  TestServer server;
  server.gate().Open();
  const auto score = [&](const char* text, const char* initial_state) {
    v1::ScoreRequest request;
    request.mutable_context()->set_text(text);
    request.set_initial_state(initial_state);
    request.add_continuations()->set_text("cd");
    grpc::ClientContext context;
    v1::ScoreResponse response;
    EXPECT_TRUE(server.NewStub()->Score(&context, request, &response).ok());
    return response.scores(0).logprob_sum();
  };
  EXPECT_EQ(score("ab", "after-x"), score("xab", ""));
  EXPECT_NE(score("ab", "after-x"), score("ab", ""));
}

// The response to GET /metrics at `address`.
std::string Scrape(const std::string& address) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(std::stoi(address.substr(address.rfind(':') + 1)));
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  const std::string request = "GET /metrics HTTP/1.0\r\n\r\n";
  EXPECT_EQ(write(fd, request.data(), request.size()), request.size());
  std::string answer;
  char buffer[4096];
  for (ssize_t n; (n = read(fd, buffer, sizeof(buffer))) > 0;) {
    answer.append(buffer, n);
  }
  close(fd);
  return answer;
}

TEST(ServerTest, MetricsShowTheLoadProgress) {
  absl::Notification half_read, may_fail;
  Options options;
  options.listen = "127.0.0.1:0";
  options.metrics_listen = "127.0.0.1:0";
  const auto load = [&](LoadProgress& progress) {
    progress.Update(1, 2);
    half_read.Notify();
    may_fail.WaitForNotification();
    return absl::NotFoundError("enough");
  };
  const auto server = Server::Start(options, load);
  ASSERT_TRUE(server.ok()) << server.status();
  half_read.WaitForNotification();
  EXPECT_THAT(Scrape((*server)->metrics_address()),
              HasSubstr("\nrwkv_load_progress_ratio 0.5\n"));
  may_fail.Notify();
  EXPECT_EQ((*server)->Wait().message(), "enough");
}

TEST(ServerTest, LoadProgressIsOneOnceTheServerServes) {
  Options options;
  options.metrics_listen = "127.0.0.1:0";
  TestServer server(options);
  EXPECT_THAT(Scrape(server.server().metrics_address()),
              HasSubstr("\nrwkv_load_progress_ratio 1\n"));
}

TEST(ServerTest, TokenizesAndDetokenizesAnyBytes) {
  TestServer server;
  const std::string bytes("a\0\xff\xc3\xa9\xf0\x9f", 7);
  grpc::ClientContext context;
  v1::TokenizeRequest tokenize;
  tokenize.set_bytes(bytes);
  v1::TokenizeResponse ids;
  ASSERT_TRUE(server.NewStub()->Tokenize(&context, tokenize, &ids).ok());
  EXPECT_EQ(ids.ids_size(), 7);
  EXPECT_EQ(ids.ids(2), 255);

  grpc::ClientContext back;
  v1::DetokenizeRequest detokenize;
  *detokenize.mutable_ids() = ids.ids();
  v1::DetokenizeResponse text;
  ASSERT_TRUE(server.NewStub()->Detokenize(&back, detokenize, &text).ok());
  EXPECT_EQ(text.bytes(), bytes);
  EXPECT_EQ(text.text(),
            std::string("a\0\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd", 10));
}

TEST(ServerTest, DetokenizeErrorNamesTheIdOutOfRange) {
  TestServer server;
  for (const int32_t bad : {-1, 256}) {
    grpc::ClientContext context;
    v1::DetokenizeRequest request;
    request.add_ids(1);
    request.add_ids(bad);
    v1::DetokenizeResponse response;
    const grpc::Status status =
        server.NewStub()->Detokenize(&context, request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), HasSubstr("ids[1]"));
  }
}

TEST(ServerTest, MessageThatIsTooLargeIsRefused) {
  Options options;
  options.max_message_bytes = 1 << 20;
  TestServer server(options);
  grpc::ClientContext context;
  v1::TokenizeRequest request;
  request.set_bytes(std::string(2 << 20, 'x'));
  v1::TokenizeResponse response;
  EXPECT_EQ(
      server.NewStub()->Tokenize(&context, request, &response).error_code(),
      grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST(ServerTest, PortInUseIsAnErrorWithTheFlag) {
  TestServer first;
  Options options;
  options.listen = first.server().address();
  const auto second = Server::Start(options, [](LoadProgress&) {
    return absl::InternalError("must not load");
  });
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("--listen"));
}

TEST(ServerTest, MetricsPortInUseIsAnErrorWithTheFlag) {
  Options options;
  options.metrics_listen = "127.0.0.1:0";
  TestServer first(options);
  options.listen = "127.0.0.1:0";
  options.metrics_listen = first.server().metrics_address();
  const auto second = Server::Start(options, [](LoadProgress&) {
    return absl::InternalError("must not load");
  });
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("--metrics_listen"));
}

TEST(ServerTest, OtherHostsNeedTlsOrConsent) {
  Options options;
  options.listen = "0.0.0.0:0";
  const auto fail = [](LoadProgress&) { return absl::InternalError("enough"); };
  const absl::Status status = Server::Start(options, fail).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      std::string(status.message()),
      ::testing::AllOf(HasSubstr("--listen: other hosts can reach"),
                       HasSubstr("--tls_cert"), HasSubstr("--insecure")));
  options.insecure = true;
  const auto server = Server::Start(options, fail);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ((*server)->Wait().message(), "enough");
}

TEST(ServerTest, HealthHasAnAddressOfItsOwn) {
  Options options;
  options.health_listen = "127.0.0.1:0";
  TestServer server(options);
  const auto channel = grpc::CreateChannel(server.server().health_address(),
                                           grpc::InsecureChannelCredentials());
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckResponse response;
  const auto stub = grpc::health::v1::Health::NewStub(channel);
  ASSERT_TRUE(stub->Check(&context, {}, &response).ok());
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  grpc::ClientContext other;
  EXPECT_EQ(CallWithBytes(channel, "/rwkv.v1.RwkvService/GetModel", "", &other)
                .error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  server.server().Drain();
  grpc::ClientContext late;
  ASSERT_TRUE(stub->Check(&late, {}, &response).ok());
  EXPECT_EQ(response.status(),
            grpc::health::v1::HealthCheckResponse::NOT_SERVING);
}

}  // namespace
}  // namespace rwkvd
