// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_SERVICE_VLLM_VLLM_CLIENT_H_
#define RWKVD_TESTS_SERVICE_VLLM_VLLM_CLIENT_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>
#include <grpcpp/support/sync_stream.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/service/test_server.h"
#include "vllm/vllm_engine.grpc.pb.h"

namespace rwkvd {

namespace vllm_pb = ::vllm::grpc::engine;

// All messages of one sample.
struct VllmSample {
  std::vector<int32_t> chunk_ids;
  std::vector<vllm_pb::GenerateStreamChunk> chunks;
  vllm_pb::GenerateComplete complete;
};

// The result of one call of VllmEngine/Generate.
struct VllmResult {
  std::map<uint32_t, VllmSample> samples;
  grpc::Status status;
};

// A Generate call that is being read. Not thread-safe.
class VllmClient {
 public:
  // With a token, unless it is empty.
  VllmClient(const TestServer& server, const vllm_pb::GenerateRequest& request,
             const std::string& token = "");

  // Reads one message.
  vllm_pb::GenerateResponse Read();
  void Cancel() { context_.TryCancel(); }
  // Reads until the call ends.
  VllmResult Finish();

 private:
  grpc::ClientContext context_;
  std::unique_ptr<vllm_pb::VllmEngine::Stub> stub_;
  std::unique_ptr<grpc::ClientReader<vllm_pb::GenerateResponse>> reader_;
};

// Makes a call and waits for its end.
VllmResult GenerateVllm(const TestServer& server,
                        const vllm_pb::GenerateRequest& request);

// A request like SimpleRequest, whose id is "r".
vllm_pb::GenerateRequest SimpleVllmRequest(uint32_t max_tokens,
                                           bool stream = true);

}  // namespace rwkvd

#endif  // RWKVD_TESTS_SERVICE_VLLM_VLLM_CLIENT_H_
