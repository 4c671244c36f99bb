// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_SERVICE_CALLS_GENERATE_CLIENT_H_
#define RWKVD_TESTS_SERVICE_CALLS_GENERATE_CLIENT_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>
#include <grpcpp/support/sync_stream.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "rwkv/v1/rwkv.grpc.pb.h"
#include "tests/service/test_server.h"

namespace rwkvd {

// The result of one Generate call.
struct Answer {
  std::vector<int32_t> ids;
  std::vector<v1::Token> prompt;
  std::vector<v1::Token> tokens;
  std::string bytes;
  std::string text;
  int largest_delta = 0;  // in tokens
  bool has_finish = false;
  v1::Finish finish;
  grpc::Status status;
  std::string pushback;  // when to retry, in milliseconds; or empty
};

// A Generate call that is being read. Not thread-safe.
class Client {
 public:
  Client(const TestServer& server, const v1::GenerateRequest& request,
         absl::Duration timeout = absl::InfiniteDuration());

  void Cancel() { context_.TryCancel(); }

  v1::Delta ReadDelta();

  // Reads until the call ends.
  Answer Finish();

 private:
  grpc::ClientContext context_;
  std::unique_ptr<v1::RwkvService::Stub> stub_;
  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader_;
};

// Makes a call and waits for its end.
Answer Generate(const TestServer& server, const v1::GenerateRequest& request);

}  // namespace rwkvd

#endif  // RWKVD_TESTS_SERVICE_CALLS_GENERATE_CLIENT_H_
