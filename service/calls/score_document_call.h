// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_SCORE_DOCUMENT_CALL_H_
#define RWKVD_SERVICE_CALLS_SCORE_DOCUMENT_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/engine/engine.h"
#include "core/engine/sink.h"
#include "core/model/state.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/metrics/metrics.h"
#include "service/served_model.h"

namespace rwkvd {

// One ScoreDocument call. It reads a part of the document, submits it as a
// request that continues from the state before it, writes the scores, and reads
// the next part. Between two parts it holds a state, but no slot of the engine
// and no text of the document.
//
// Owns itself: it is deleted when gRPC (OnDone) and, if a part was submitted,
// the engine (OnFinish) no longer use it. Thread-safe. The model, the metrics
// and `num_open`, the number of these calls, outlive it.
class ScoreDocumentCall final
    : public grpc::ServerBidiReactor<::rwkv::v1::ScoreDocumentRequest,
                                     ::rwkv::v1::ScoreDocumentResponse>,
      private ScoreSink {
 public:
  // The most token scores in one response, which then has less than 1 MiB.
  static constexpr int kMaxTokensInMessage = 32768;

  // Answers the call; `model` is null while it is being loaded. At most
  // max_running calls may be open; further ones end with RESOURCE_EXHAUSTED.
  static ScoreDocumentCall* Start(const ServedModel* model, Metrics* metrics,
                                  grpc::CallbackServerContext* context,
                                  std::atomic<int32_t>* num_open);

 private:
  ScoreDocumentCall(const ServedModel* model, Metrics* metrics,
                    grpc::CallbackServerContext* context,
                    std::atomic<int32_t>* num_open);
  ~ScoreDocumentCall() override;

  absl::Status CheckOpen() const;
  // Submits the part that was read, or reads the next one if it is empty.
  absl::Status SubmitPart();
  absl::Status Submit(std::vector<int32_t> tokens);

  // Events of the engine.
  void OnScore(const ScoreEvent& event) override;
  void OnFinish(const FinishEvent& event) override;

  // Events of gRPC.
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // Writes the next scores of the part, or reads the next part if there are
  // none left.
  void Advance();
  void WriteTotal();
  void End(const absl::Status& status);
  void Unref();

  const ServedModel* const model_;
  grpc::CallbackServerContext* const context_;
  std::atomic<int32_t>* const num_open_;
  CallRecord record_;
  std::atomic<int> refs_{1};
  grpc::Status status_;  // set before Finish is called, read after

  // Used by one thread at a time: gRPC's during reads and writes, the engine's
  // while it runs a part.
  ::rwkv::v1::ScoreDocumentRequest request_;
  ::rwkv::v1::ScoreDocumentResponse response_;
  bool has_begun_ = false;  // the first message was read
  bool with_tokens_ = false;
  int32_t initial_state_ = 0;
  std::vector<::rwkv::v1::TokenScore> scores_;  // of the part
  size_t num_written_ = 0;                      // of scores_
  // The start of the next part: the token before it, and the state before that
  // token.
  std::optional<int32_t> last_token_;
  std::shared_ptr<const State> state_;
  ::rwkv::v1::DocumentTotal total_;

  absl::Mutex mutex_;
  // The request of the last part that was submitted.
  std::optional<Engine::RequestId> id_ ABSL_GUARDED_BY(mutex_);
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_SCORE_DOCUMENT_CALL_H_
