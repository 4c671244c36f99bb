// SPDX-License-Identifier: Apache-2.0
// Errors of requests that are wrong.

#include <memory>
#include <utility>

#include "core/base/check.h"
#include "core/text/load_tokenizer.h"
#include "core/text/null_tokenizer.h"
#include "tests/core/text/small_files.h"
#include "tests/service/errors/provoked.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

ProvokedError GenerateErrorOf(const v1::GenerateRequest& request,
                              const Options& options = {}) {
  return GenerateError(TestServer(options), request);
}

// The error of a unary call of RwkvService with `bytes`, which need not be a
// message.
ProvokedError ErrorOf(const std::string& method, const std::string& bytes,
                      const google::protobuf::Descriptor* request) {
  const TestServer server;
  grpc::ClientContext context;
  const grpc::Status status = CallWithBytes(
      server.NewChannel(), "/rwkv.v1.RwkvService/" + method, bytes, &context);
  return Ended(status, context, request);
}

ProvokedError TokenizeErrorOf(const std::string& bytes) {
  return ErrorOf("Tokenize", bytes, v1::TokenizeRequest::descriptor());
}

// The error of a server whose requests are converted with `tokenizer`.
ProvokedError TokenizeErrorWith(std::unique_ptr<const Tokenizer> tokenizer,
                                const std::string& bytes) {
  std::unique_ptr<const Tokenizer> unused;  // by calls; the engine knows it
  TestServer server;
  unused = std::exchange(server.model().tokenizer, std::move(tokenizer));
  grpc::ClientContext context;
  v1::TokenizeRequest request;
  request.set_bytes(bytes);
  v1::TokenizeResponse response;
  const grpc::Status status =
      server.NewStub()->Tokenize(&context, request, &response);
  // The server ends before its tokenizer.
  server.model().tokenizer.swap(unused);
  return Ended(status, context, v1::TokenizeRequest::descriptor());
}

std::unique_ptr<const Tokenizer> TokenizerWithoutByteFf() {
  nlohmann::json document = SmallTokenizerJson({{"a", "b"}});
  document["model"]["vocab"].erase("\u00ff");
  const std::string path = testing::MakeTempDirectory() + "/tokenizer.json";
  testing::WriteFileOrDie(path, document.dump());
  auto tokenizer = LoadTokenizer(path);
  RWKVD_CHECK(tokenizer.ok());
  return *std::move(tokenizer);
}

v1::GenerateRequest TwoOfTwo() {
  v1::GenerateRequest request = SimpleRequest(1);
  request.set_best_of(2);
  return request;
}

}  // namespace

void AddRequestProvokers(Provokers* provokers) {
  Provokers& on = *provokers;
  on[ErrorReason::kFieldInvalid] = [] {
    v1::GenerateRequest request = SimpleRequest(1);
    request.mutable_sampling()->set_top_p(2);
    return GenerateErrorOf(request);
  };
  on[ErrorReason::kFieldsConflict] = [] {
    v1::GenerateRequest request = TwoOfTwo();
    request.set_echo(true);
    return GenerateErrorOf(request);
  };
  on[ErrorReason::kFieldNotUtf8] = [] {
    return TokenizeErrorOf(
        "\x0a\x04"
        "caf\xc3");
  };
  on[ErrorReason::kMessageMalformed] = [] {
    return TokenizeErrorOf("\xff\xff");
  };
  on[ErrorReason::kTooManyTokens] = [] {
    Options options;
    options.engine.max_prompt_tokens = 10;
    v1::GenerateRequest request = SimpleRequest(1);
    request.mutable_prompt()->set_text(std::string(11, 'a'));
    return GenerateErrorOf(request, options);
  };
  on[ErrorReason::kTextNotEncodable] = [] {
    return TokenizeErrorWith(TokenizerWithoutByteFf(), "\xff");
  };
  on[ErrorReason::kNoTokenizer] = [] {
    return TokenizeErrorWith(std::make_unique<NullTokenizer>(256), "a");
  };
  on[ErrorReason::kNoChatTemplate] = [] {
    v1::GenerateRequest request = SimpleRequest(1);
    v1::ChatMessage* const message =
        request.mutable_prompt()->mutable_conversation()->add_messages();
    message->set_role(v1::CHAT_ROLE_USER);
    message->set_content("Hi");
    return GenerateErrorOf(request);
  };
  on[ErrorReason::kRequestTooLarge] = [] {
    Options options;
    options.engine.max_prompt_tokens = 10;
    options.engine.max_generated_tokens = 100;
    options.engine.max_total_tokens = 110;
    v1::GenerateRequest request = SimpleRequest(100);
    request.set_n(2);
    return GenerateErrorOf(request, options);
  };
  on[ErrorReason::kResponseTooLarge] = [] {
    const TestServer server;
    grpc::ClientContext context;
    v1::ScoreRequest request;
    request.add_continuations()->set_text("abc");
    request.set_max_response_bytes(10);
    v1::ScoreResponse response;
    const grpc::Status status =
        server.NewStub()->Score(&context, request, &response);
    return Ended(status, context, v1::ScoreRequest::descriptor());
  };
  on[ErrorReason::kInitialStateUnknown] = [] {
    v1::GenerateRequest request = SimpleRequest(1);
    request.set_initial_state("none");
    return GenerateErrorOf(request);
  };
  on[ErrorReason::kStateCacheDisabled] = [] {
    Options options;
    options.engine.state_cache_bytes = 0;
    v1::GenerateRequest request = SimpleRequest(1);
    request.mutable_pin()->set_name("a");
    return GenerateErrorOf(request, options);
  };
  on[ErrorReason::kMethodUnknown] = [] { return ErrorOf("Sing", "", nullptr); };
  on[ErrorReason::kModelNotFound] = [] {
    v1::GenerateRequest request = SimpleRequest(1);
    request.set_model("other");
    return GenerateErrorOf(request);
  };
  on[ErrorReason::kPinNotFound] = [] {
    const TestServer server;
    grpc::ClientContext context;
    v1::UnpinPrefixRequest request;
    request.set_name("a");
    v1::UnpinPrefixResponse response;
    const grpc::Status status =
        server.NewStub()->UnpinPrefix(&context, request, &response);
    return Ended(status, context, v1::UnpinPrefixRequest::descriptor());
  };
  on[ErrorReason::kServiceNotFound] = [] {
    const TestServer server;
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service("none");
    grpc::health::v1::HealthCheckResponse response;
    const grpc::Status status =
        server.NewHealthStub()->Check(&context, request, &response);
    return Ended(status, context,
                 grpc::health::v1::HealthCheckRequest::descriptor());
  };
}

}  // namespace rwkvd
