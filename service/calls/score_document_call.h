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

// One ScoreDocument call: reads a part, has it scored as a request of its own
// that goes on from the state before it, writes its scores, reads the next.
// So between two parts it holds a state and no place among the running, and no
// more of the document than a part.
//
// Owns itself: it is deleted when gRPC (OnDone) and the engine, if it has a
// part (OnFinish), are through with it. Thread-safe. The model, the metrics and
// `num_open`, which counts such calls, outlive it.
class ScoreDocumentCall final
    : public grpc::ServerBidiReactor<::rwkv::v1::ScoreDocumentRequest,
                                     ::rwkv::v1::ScoreDocumentResponse>,
      private ScoreSink {
 public:
  // Tokens of one answer at most: less than 1 MiB.
  static constexpr int kMaxTokensInMessage = 32768;

  // Answers the call; `model` is null while it is being loaded. At most as many
  // are open as requests may run; more end with RESOURCE_EXHAUSTED.
  static ScoreDocumentCall* Start(const ServedModel* model, Metrics* metrics,
                                  grpc::CallbackServerContext* context,
                                  std::atomic<int32_t>* num_open);

 private:
  ScoreDocumentCall(const ServedModel* model, Metrics* metrics,
                    grpc::CallbackServerContext* context,
                    std::atomic<int32_t>* num_open);
  ~ScoreDocumentCall() override;

  absl::Status CheckOpen() const;
  // Takes the part that was read to the engine, or reads the next if it is
  // empty.
  absl::Status TakePart();
  absl::Status Submit(std::vector<int32_t> tokens);

  // The engine's side.
  void OnScore(const ScoreEvent& event) override;
  void OnFinish(const FinishEvent& event) override;

  // gRPC's side.
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // Writes the next scores that wait, or reads on.
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

  // One thread at a time uses these: that of gRPC while it reads and writes,
  // the engine's while it has a part.
  ::rwkv::v1::ScoreDocumentRequest request_;
  ::rwkv::v1::ScoreDocumentResponse response_;
  bool begun_ = false;  // the first message was read
  bool with_tokens_ = false;
  int32_t initial_state_ = 0;
  std::vector<::rwkv::v1::TokenScore> scores_;  // of the part
  size_t num_written_ = 0;                      // of these
  // What the next part goes on from: the token before it, and the state before
  // that.
  std::optional<int32_t> last_token_;
  std::shared_ptr<const State> state_;
  ::rwkv::v1::DocumentTotal total_;

  absl::Mutex mutex_;
  // Of the part that the engine has, or had last.
  std::optional<Engine::RequestId> id_ ABSL_GUARDED_BY(mutex_);
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_SCORE_DOCUMENT_CALL_H_
