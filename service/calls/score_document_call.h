// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_SCORE_DOCUMENT_CALL_H_
#define RWKVD_SERVICE_CALLS_SCORE_DOCUMENT_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/engine/engine.h"
#include "core/engine/sink.h"
#include "core/model/state.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/calls/call_environment.h"
#include "service/calls/call_record.h"
#include "service/calls/monitored_call.h"
#include "service/calls/request_message.h"
#include "service/calls/stream_end.h"
#include "service/calls/stream_slots.h"
#include "service/convert/token_texts.h"
#include "service/metrics/metrics.h"
#include "service/served_model.h"

namespace rwkvd {

// One ScoreDocument call. It reads a part of the document, converts it on a
// thread of the work pool, submits it as a request that continues from the
// state before it, writes the scores, and reads the next part. Between two
// parts it holds a state, but no slot of the engine and no text of the
// document.
//
// Owns itself: it is deleted when gRPC (OnDone), the work pool and, if a part
// was submitted, the engine (OnFinish) no longer use it. Thread-safe.
// Everything in the environment outlives it.
class ScoreDocumentCall final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
      public MonitoredCall,
      private ScoreSink {
 public:
  // The most token scores in one response, and the most bytes that they have
  // unless there is only one.
  static constexpr int kMaxTokensInMessage = 8192;
  static constexpr int64_t kMaxBytesInMessage = int64_t{256} << 10;

  // Answers the call, whose messages are ScoreDocumentRequests, with
  // ScoreDocumentResponses. Each call takes one of max_running slots; without a
  // slot, it ends with RESOURCE_EXHAUSTED.
  static ScoreDocumentCall* Start(const CallEnvironment& environment,
                                  grpc::CallbackServerContext* context);

 private:
  ScoreDocumentCall(const CallEnvironment& environment,
                    grpc::CallbackServerContext* context);
  ~ScoreDocumentCall() override = default;

  absl::Status CheckOpen();
  void ReadNext();
  // Adds the conversion of the part that was read to the work pool.
  absl::Status BeginPart() ABSL_LOCKS_EXCLUDED(mutex_);
  // Submits a part, or reads the next one if it is empty. On a thread of the
  // work pool.
  absl::Status SubmitPart(RequestMessage message);
  absl::StatusOr<std::vector<int32_t>> Parse(RequestMessage* message);
  // Takes the tokens from the quota, and submits them.
  absl::Status Submit(std::vector<int32_t> tokens);
  absl::Status SubmitTokens(std::vector<int32_t> tokens);

  // Events of the engine.
  void OnScore(const ScoreEvent& event) override;
  void OnFinish(const FinishEvent& event) override;

  // Serializes the scores of the part's tokens.
  void AddScores(const ScoreEvent& event) ABSL_LOCKS_EXCLUDED(mutex_);
  // Serializes those in [begin, end), which have `max_bytes` at most. Returns
  // false if the call was given up.
  bool AddMessage(const ScoreEvent& event, size_t begin, size_t end,
                  int64_t max_bytes) ABSL_LOCKS_EXCLUDED(mutex_);

  // Events of gRPC.
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // Writes the next scores of the part, or reads the next part if there are
  // none left.
  void Advance();
  void WriteTotal();
  // Passes the status, and the total if it is OK, to gRPC if that is due.
  void FinishIfDue();
  // Ends the call, unless that has happened.
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  bool GiveUp(GiveUpReason reason, const absl::Status& why) override
      ABSL_LOCKS_EXCLUDED(mutex_);

  const CallEnvironment environment_;
  const ServedModel* const model_;
  grpc::CallbackServerContext* const context_;
  StreamSlots* const slots_;
  const absl::Time deadline_;
  CallRecord record_;
  StreamEnd end_;

  // Used by one thread at a time: gRPC's during reads and writes, the engine's
  // while it runs a part.
  grpc::ByteBuffer message_;   // being read
  grpc::ByteBuffer response_;  // being written
  bool has_begun_ = false;     // the first message was read
  bool with_tokens_ = false;
  TokenTexts texts_;
  int32_t initial_state_ = 0;
  // The start of the next part: the token before it, and the state before that
  // token.
  std::optional<int32_t> last_token_;
  std::shared_ptr<const State> state_;
  ::rwkv::v1::DocumentTotal total_;

  absl::Mutex mutex_;
  // The conversion of the last part that was read.
  WorkPool::TaskId task_ ABSL_GUARDED_BY(mutex_);
  // The request of the last part that was submitted.
  std::optional<Engine::RequestId> id_ ABSL_GUARDED_BY(mutex_);
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  // The responses with the scores of the part that have not been written yet,
  // serialized, and their charges.
  std::deque<grpc::ByteBuffer> scores_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_SCORE_DOCUMENT_CALL_H_
