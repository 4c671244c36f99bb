// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_SCORE_CALL_H_
#define RWKVD_SERVICE_CALLS_SCORE_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <optional>

#include "core/engine/engine.h"
#include "core/engine/sink.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/metrics/metrics.h"
#include "service/served_model.h"

namespace rwkvd {

// One Score call. It collects the scores from the engine in the response.
//
// Owns itself: it is deleted when both the engine (OnFinish) and gRPC (OnDone)
// no longer use it. Thread-safe. The model and the metrics outlive it.
class ScoreCall final : public grpc::ServerUnaryReactor, private ScoreSink {
 public:
  // Answers the call into `response`; `model` is null while it is being loaded.
  static ScoreCall* Start(const ServedModel* model, Metrics* metrics,
                          grpc::CallbackServerContext* context,
                          const ::rwkv::v1::ScoreRequest& request,
                          ::rwkv::v1::ScoreResponse* response);

 private:
  ScoreCall(const ServedModel* model, Metrics* metrics,
            grpc::CallbackServerContext* context,
            ::rwkv::v1::ScoreResponse* response);
  ~ScoreCall() override = default;

  absl::Status Submit(const ::rwkv::v1::ScoreRequest& proto);

  // Events of the engine.
  void OnScore(const ScoreEvent& event) override;
  void OnFinish(const FinishEvent& event) override;

  // Events of gRPC.
  void OnCancel() override;
  void OnDone() override;

  void Unref();

  const ServedModel* const model_;
  grpc::CallbackServerContext* const context_;
  ::rwkv::v1::ScoreResponse* const
      response_;  // owned by gRPC, valid until Finish
  CallRecord record_;
  std::atomic<int> refs_{1};
  // Set before the engine knows this call.
  bool is_list_ = false;
  bool with_tokens_ = true;
  // Set before Start returns; gRPC does not call OnCancel before.
  std::optional<Engine::RequestId> id_;
  grpc::Status status_;  // set before Finish is called, read after
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_SCORE_CALL_H_
