// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_RWKV_SERVICE_H_
#define RWKVD_SERVICE_CALLS_RWKV_SERVICE_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>

#include "rwkv/v1/rwkv.grpc.pb.h"
#include "service/auth/authorizer.h"
#include "service/auth/usage_log.h"
#include "service/calls/call_environment.h"
#include "service/calls/call_monitor.h"
#include "service/calls/stream_slots.h"
#include "service/memory_budgets.h"
#include "service/metrics/metrics.h"
#include "service/served_model.h"
#include "service/work_pool.h"

namespace rwkvd {

// The service of the contract with methods that receive and send messages in
// the wire format: gRPC's threads never parse a message, whose sender chooses
// how long that takes.
template <typename Base>
using WithRawStateMethods =
    ::rwkv::v1::RwkvService::WithRawCallbackMethod_PutState<
        ::rwkv::v1::RwkvService::WithRawCallbackMethod_GetState<
            ::rwkv::v1::RwkvService::WithRawCallbackMethod_DeleteState<
                ::rwkv::v1::RwkvService::WithRawCallbackMethod_UnpinPrefix<
                    ::rwkv::v1::RwkvService::
                        WithRawCallbackMethod_ListPinnedPrefixes<Base>>>>>;
template <typename Base>
using WithRawTextMethods =
    ::rwkv::v1::RwkvService::WithRawCallbackMethod_Generate<
        ::rwkv::v1::RwkvService::WithRawCallbackMethod_Tokenize<
            ::rwkv::v1::RwkvService::WithRawCallbackMethod_Detokenize<
                ::rwkv::v1::RwkvService::WithRawCallbackMethod_Score<
                    ::rwkv::v1::RwkvService::
                        WithRawCallbackMethod_ScoreDocument<
                            ::rwkv::v1::RwkvService::
                                WithRawCallbackMethod_GetModel<Base>>>>>>;
template <typename Base>
using WithRawServerMethods =
    ::rwkv::v1::RwkvService::WithRawCallbackMethod_GetServerInfo<
        ::rwkv::v1::RwkvService::WithRawCallbackMethod_GetLoad<Base>>;
using RawRwkvService = WithRawTextMethods<WithRawStateMethods<
    WithRawServerMethods<::rwkv::v1::RwkvService::Service>>>;

// The gRPC service of the wire contract. It passes each call to its handler.
// With `logs_calls`, each call has a line in the log, and with `spans`, each
// sampled call has spans. `authorizer` decides who may make which call; without
// one, everything is allowed.
//
// Owned by the server; thread-safe. The metrics, the budgets, the pool, the
// monitor, the exporter of spans and the authorizer outlive it.
class RwkvService final : public RawRwkvService {
 public:
  RwkvService(Metrics* metrics, MemoryBudgets* budgets, WorkPool* pool,
              CallMonitor* monitor, bool logs_calls = false,
              SpanExporter* spans = nullptr, Authorizer* authorizer = nullptr)
      : metrics_(metrics),
        budgets_(budgets),
        pool_(pool),
        monitor_(monitor),
        logs_calls_(logs_calls),
        spans_(spans),
        authorizer_(authorizer),
        transfers_(monitor),
        documents_(monitor) {}

  // The number of calls of PutState and GetState.
  int32_t num_transfers() const { return transfers_.num_taken(); }

  // Sets the log of what calls have used, which outlives the service. Called
  // before any call arrives, if at all.
  void SetUsageLog(UsageLog* usage_log) { usage_log_ = usage_log; }

  // Sets the model that answers calls from now on; it outlives the service.
  // Earlier calls end with UNAVAILABLE. Called once.
  void Serve(const ServedModel* model) {
    model_.store(model, std::memory_order_release);
  }

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Generate(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Score(grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer* request,
                                  grpc::ByteBuffer* response) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ScoreDocument(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* UnpinPrefix(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ListPinnedPrefixes(
      grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
      grpc::ByteBuffer* response) override;
  grpc::ServerReadReactor<grpc::ByteBuffer>* PutState(
      grpc::CallbackServerContext* context,
      grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* GetState(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* DeleteState(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetLoad(grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* request,
                                    grpc::ByteBuffer* response) override;

  // For a call of `rpc` that arrives now, of this service or of another one.
  // Returns its identity to the client, and finds out who makes it.
  CallEnvironment NewEnvironment(grpc::CallbackServerContext* context, Rpc rpc);

 private:
  Metrics* const metrics_;
  MemoryBudgets* const budgets_;
  WorkPool* const pool_;
  CallMonitor* const monitor_;
  const bool logs_calls_;
  SpanExporter* const spans_;
  Authorizer* const authorizer_;
  UsageLog* usage_log_ = nullptr;  // null: there is none
  StreamSlots transfers_;
  StreamSlots documents_;
  std::atomic<const ServedModel*> model_{nullptr};
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_RWKV_SERVICE_H_
