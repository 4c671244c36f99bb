// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_RWKV_SERVICE_H_
#define RWKVD_SERVICE_CALLS_RWKV_SERVICE_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "rwkv/v1/rwkv.grpc.pb.h"
#include "service/memory_budgets.h"
#include "service/metrics/metrics.h"
#include "service/served_model.h"

namespace rwkvd {

// The gRPC service of the wire contract. It passes each call to its handler.
//
// Owned by the server; thread-safe. The metrics and the budgets outlive it.
class RwkvService final : public ::rwkv::v1::RwkvService::CallbackService {
 public:
  RwkvService(Metrics* metrics, MemoryBudgets* budgets)
      : metrics_(metrics), budgets_(budgets) {}

  // Sets the model that answers calls from now on; it outlives the service.
  // Earlier calls end with UNAVAILABLE. Called once.
  void Serve(const ServedModel* model) {
    model_.store(model, std::memory_order_release);
  }

  grpc::ServerWriteReactor<::rwkv::v1::GenerateResponse>* Generate(
      grpc::CallbackServerContext* context,
      const ::rwkv::v1::GenerateRequest* request) override;
  grpc::ServerUnaryReactor* Tokenize(
      grpc::CallbackServerContext* context,
      const ::rwkv::v1::TokenizeRequest* request,
      ::rwkv::v1::TokenizeResponse* response) override;
  grpc::ServerUnaryReactor* Detokenize(
      grpc::CallbackServerContext* context,
      const ::rwkv::v1::DetokenizeRequest* request,
      ::rwkv::v1::DetokenizeResponse* response) override;
  grpc::ServerUnaryReactor* Score(grpc::CallbackServerContext* context,
                                  const ::rwkv::v1::ScoreRequest* request,
                                  ::rwkv::v1::ScoreResponse* response) override;
  grpc::ServerBidiReactor<::rwkv::v1::ScoreDocumentRequest,
                          ::rwkv::v1::ScoreDocumentResponse>*
  ScoreDocument(grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* UnpinPrefix(
      grpc::CallbackServerContext* context,
      const ::rwkv::v1::UnpinPrefixRequest* request,
      ::rwkv::v1::UnpinPrefixResponse* response) override;
  grpc::ServerUnaryReactor* ListPinnedPrefixes(
      grpc::CallbackServerContext* context,
      const ::rwkv::v1::ListPinnedPrefixesRequest* request,
      ::rwkv::v1::ListPinnedPrefixesResponse* response) override;
  grpc::ServerReadReactor<::rwkv::v1::PutStateRequest>* PutState(
      grpc::CallbackServerContext* context,
      ::rwkv::v1::PutStateResponse* response) override;
  grpc::ServerWriteReactor<::rwkv::v1::GetStateResponse>* GetState(
      grpc::CallbackServerContext* context,
      const ::rwkv::v1::GetStateRequest* request) override;
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
  // Ends a call with the status that `answer` returns for the model. `answer`
  // must not block.
  grpc::ServerUnaryReactor* AnswerAtOnce(
      Rpc rpc, grpc::CallbackServerContext* context,
      absl::FunctionRef<absl::Status(const ServedModel&)> answer);

  Metrics* const metrics_;
  [[maybe_unused]] MemoryBudgets* const budgets_;
  std::atomic<int32_t> num_documents_{0};  // open calls of ScoreDocument
  std::atomic<const ServedModel*> model_{nullptr};
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_RWKV_SERVICE_H_
