// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_VLLM_VLLM_SERVICE_H_
#define RWKVD_SERVICE_VLLM_VLLM_SERVICE_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "service/calls/rwkv_service.h"
#include "service/health/health_service.h"
#include "service/vllm/running_calls.h"
#include "service/vllm/tokenizer_archive.h"
#include "vllm/vllm_engine.grpc.pb.h"

namespace rwkvd {

// The service with methods that receive and send messages in the wire format;
// see RawRwkvService.
template <typename Base>
using WithRawVllmCalls =
    ::vllm::grpc::engine::VllmEngine::WithRawCallbackMethod_Generate<
        ::vllm::grpc::engine::VllmEngine::WithRawCallbackMethod_Abort<
            ::vllm::grpc::engine::VllmEngine::
                WithRawCallbackMethod_GetTokenizer<Base>>>;
template <typename Base>
using WithRawVllmInfo =
    ::vllm::grpc::engine::VllmEngine::WithRawCallbackMethod_HealthCheck<
        ::vllm::grpc::engine::VllmEngine::WithRawCallbackMethod_GetModelInfo<
            ::vllm::grpc::engine::VllmEngine::
                WithRawCallbackMethod_GetServerInfo<
                    ::vllm::grpc::engine::VllmEngine::
                        WithRawCallbackMethod_GetLoads<Base>>>>;
using RawVllmEngine = WithRawVllmCalls<
    WithRawVllmInfo<::vllm::grpc::engine::VllmEngine::Service>>;

// vllm.grpc.engine.VllmEngine, by which gateways call the engine of
// RwkvService. Its calls have the same limits, metrics and log.
//
// Owned by the server; thread-safe. The other services outlive it.
class VllmService final : public RawVllmEngine {
 public:
  VllmService(RwkvService* service, HealthService* health)
      : service_(service), health_(health) {}

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Generate(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* Abort(grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer* request,
                                  grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* GetTokenizer(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  // healthy: what the health service reports. Until the model is loaded, the
  // call ends with UNAVAILABLE. Like the health service, it does not wait for
  // the work pool or for memory, so that a busy server is not taken for dead.
  grpc::ServerUnaryReactor* HealthCheck(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetModelInfo(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetLoads(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;

  // The number of calls that Abort can find.
  int64_t num_running() const { return running_.size(); }

 private:
  RwkvService* const service_;
  HealthService* const health_;
  RunningCalls running_;
  TokenizerArchives archives_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_VLLM_VLLM_SERVICE_H_
