// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_RWKV_SERVICE_H_
#define RWKVD_SERVICE_CALLS_RWKV_SERVICE_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "rwkv/v1/rwkv.grpc.pb.h"
#include "service/calls/call_environment.h"
#include "service/calls/call_monitor.h"
#include "service/calls/stream_slots.h"
#include "service/memory_budgets.h"
#include "service/metrics/metrics.h"
#include "service/served_model.h"

namespace rwkvd {

namespace v1 = ::rwkv::v1;

// The generated base class, each method with message objects or with raw
// messages. Calls with large responses serialize them themselves, so that they
// know what memory these take.
using RwkvServiceBase = v1::RwkvService::WithRawCallbackMethod_Generate<
    v1::RwkvService::WithCallbackMethod_Tokenize<
        v1::RwkvService::WithCallbackMethod_Detokenize<
            v1::RwkvService::WithRawCallbackMethod_Score<
                v1::RwkvService::WithRawCallbackMethod_ScoreDocument<
                    v1::RwkvService::WithCallbackMethod_UnpinPrefix<
                        v1::RwkvService::WithCallbackMethod_ListPinnedPrefixes<
                            v1::RwkvService::WithRawCallbackMethod_PutState<
                                v1::RwkvService::WithRawCallbackMethod_GetState<
                                    v1::RwkvService::
                                        WithCallbackMethod_DeleteState<
                                            v1::RwkvService::
                                                WithCallbackMethod_GetModel<
                                                    v1::RwkvService::
                                                        Service>>>>>>>>>>>;

// The gRPC service of the wire contract. It passes each call to its handler.
//
// Owned by the server; thread-safe. The metrics, the budgets and the monitor
// outlive it.
class RwkvService final : public RwkvServiceBase {
 public:
  RwkvService(Metrics* metrics, MemoryBudgets* budgets, CallMonitor* monitor)
      : metrics_(metrics),
        budgets_(budgets),
        monitor_(monitor),
        transfers_(monitor),
        documents_(monitor) {}

  // The number of calls of PutState and GetState.
  int32_t num_transfers() const { return transfers_.num_taken(); }

  // Sets the model that answers calls from now on; it outlives the service.
  // Earlier calls end with UNAVAILABLE. Called once.
  void Serve(const ServedModel* model) {
    model_.store(model, std::memory_order_release);
  }

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Generate(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* Tokenize(
      grpc::CallbackServerContext* context,
      const ::rwkv::v1::TokenizeRequest* request,
      ::rwkv::v1::TokenizeResponse* response) override;
  grpc::ServerUnaryReactor* Detokenize(
      grpc::CallbackServerContext* context,
      const ::rwkv::v1::DetokenizeRequest* request,
      ::rwkv::v1::DetokenizeResponse* response) override;
  grpc::ServerUnaryReactor* Score(grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer* request,
                                  grpc::ByteBuffer* response) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ScoreDocument(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* UnpinPrefix(
      grpc::CallbackServerContext* context,
      const ::rwkv::v1::UnpinPrefixRequest* request,
      ::rwkv::v1::UnpinPrefixResponse* response) override;
  grpc::ServerUnaryReactor* ListPinnedPrefixes(
      grpc::CallbackServerContext* context,
      const ::rwkv::v1::ListPinnedPrefixesRequest* request,
      ::rwkv::v1::ListPinnedPrefixesResponse* response) override;
  grpc::ServerReadReactor<grpc::ByteBuffer>* PutState(
      grpc::CallbackServerContext* context,
      grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* GetState(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* DeleteState(
      grpc::CallbackServerContext* context,
      const ::rwkv::v1::DeleteStateRequest* request,
      ::rwkv::v1::DeleteStateResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(
      grpc::CallbackServerContext* context,
      const ::rwkv::v1::GetModelRequest* request,
      ::rwkv::v1::GetModelResponse* response) override;

 private:
  const ServedModel* model() const {
    return model_.load(std::memory_order_acquire);
  }
  // For a call that arrives now.
  CallEnvironment environment() {
    return {model(), metrics_, budgets_, monitor_, &transfers_, &documents_};
  }
  // Ends a call with the status that `answer` returns for the model. `answer`
  // must not block.
  grpc::ServerUnaryReactor* AnswerAtOnce(
      Rpc rpc, grpc::CallbackServerContext* context,
      absl::FunctionRef<absl::Status(const ServedModel&)> answer);

  Metrics* const metrics_;
  MemoryBudgets* const budgets_;
  CallMonitor* const monitor_;
  StreamSlots transfers_;
  StreamSlots documents_;
  std::atomic<const ServedModel*> model_{nullptr};
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_RWKV_SERVICE_H_
