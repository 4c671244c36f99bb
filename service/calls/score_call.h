// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_SCORE_CALL_H_
#define RWKVD_SERVICE_CALLS_SCORE_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/engine/engine.h"
#include "core/engine/sink.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/calls/call_environment.h"
#include "service/calls/call_record.h"
#include "service/calls/monitored_call.h"
#include "service/calls/request_message.h"
#include "service/convert/token_texts.h"
#include "service/metrics/metrics.h"
#include "service/served_model.h"

namespace rwkvd {

// One Score call. Its message is converted on a thread of the work pool. It
// collects the scores from the engine, serialized, and sends them in one
// response.
//
// Owns itself: it is deleted when the work pool, the engine (OnFinish) and gRPC
// (OnDone) no longer use it. Thread-safe. Everything in the environment
// outlives it.
class ScoreCall final : public grpc::ServerUnaryReactor,
                        public MonitoredCall,
                        private ScoreSink {
 public:
  // Answers the call, whose message has arrived, into `response`.
  static ScoreCall* Start(const CallEnvironment& environment,
                          grpc::CallbackServerContext* context,
                          const grpc::ByteBuffer* message,
                          grpc::ByteBuffer* response);

 private:
  ScoreCall(const CallEnvironment& environment,
            grpc::CallbackServerContext* context, grpc::ByteBuffer* response);
  ~ScoreCall() override = default;

  absl::Status Begin(const grpc::ByteBuffer* message);
  // On a thread of the work pool.
  absl::Status Convert(RequestMessage message);
  absl::StatusOr<ScoreRequest> Parse(RequestMessage* message);
  absl::Status Submit(ScoreRequest request) ABSL_LOCKS_EXCLUDED(mutex_);

  // Events of the engine.
  void OnScore(const ScoreEvent& event) override;
  void OnFinish(const FinishEvent& event) override;

  bool GiveUp(GiveUpReason reason, const absl::Status& why) override
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Events of gRPC.
  void OnCancel() override;
  void OnDone() override;

  // Fills in the response with the scores.
  void WriteResponse(const FinishEvent& event)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The tags and lengths before a score of `size` bytes and before an item.
  std::string ScoreHeader(size_t size) const;
  std::string ItemHeader(const std::vector<std::string>& scores) const;
  // Ends the call, unless that has happened.
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void SetStatus(const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const CallEnvironment environment_;
  const ServedModel* const model_;
  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const response_;  // owned by gRPC, valid until Finish
  CallRecord record_;
  // Set before Start returns; gRPC does not call OnCancel before.
  WorkPool::TaskId task_;
  // Set before the engine knows this call.
  bool is_list_ = false;
  bool with_tokens_ = true;
  TokenTexts texts_;

  absl::Mutex mutex_;
  std::optional<Engine::RequestId> id_ ABSL_GUARDED_BY(mutex_);
  // By the client, because the deadline has passed, or given up.
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool finish_called_ ABSL_GUARDED_BY(mutex_) = false;
  // By item and continuation: serialized ContinuationScores.
  std::vector<std::vector<std::string>> scores_ ABSL_GUARDED_BY(mutex_);
  ResponseCharge charge_ ABSL_GUARDED_BY(mutex_);  // for scores_
  grpc::Status status_;  // set before finish_called_, read after
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_SCORE_CALL_H_
