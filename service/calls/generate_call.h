// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_GENERATE_CALL_H_
#define RWKVD_SERVICE_CALLS_GENERATE_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/engine/engine.h"
#include "core/engine/request.h"
#include "core/engine/sink.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/calls/delta_buffer.h"
#include "service/convert/convert.h"
#include "service/convert/convert_states.h"
#include "service/metrics/metrics.h"
#include "service/served_model.h"

namespace rwkvd {

// One Generate call: a sink of the engine for each sample on one side, a gRPC
// stream on the other. Tokens wait in a buffer while a write is under way, so a
// slow client gets larger messages and the engine never waits. Where only the
// best samples are asked for, all wait until all have ended.
//
// Owns itself: it is deleted when both the engine (OnFinish) and gRPC (OnDone)
// are through with it. Thread-safe. The model and the metrics outlive it.
class GenerateCall final
    : public grpc::ServerWriteReactor<::rwkv::v1::GenerateResponse> {
 public:
  // Answers the call; `model` is null while it is being loaded.
  static GenerateCall* Start(const ServedModel* model, Metrics* metrics,
                             grpc::CallbackServerContext* context,
                             const ::rwkv::v1::GenerateRequest& request);

 private:
  // Tells the call which sample it is that the engine speaks of.
  class Sample final : public GenerateSink {
   public:
    Sample(GenerateCall* call, int32_t index) : call_(call), index_(index) {}
    void OnPrompt(const PromptEvent& event) override;
    void OnToken(const TokenEvent& event) override;
    void OnFinish(const FinishEvent& event) override;

   private:
    GenerateCall* const call_;
    const int32_t index_;
  };

  GenerateCall(const ServedModel* model, Metrics* metrics,
               grpc::CallbackServerContext* context);
  ~GenerateCall() override = default;

  absl::Status Submit(const ::rwkv::v1::GenerateRequest& request);

  // The engine's side.
  void OnPrompt(int32_t sample, const PromptEvent& event);
  void OnToken(int32_t sample, const TokenEvent& event);
  // Sends what was added, or gives a client up that leaves too much unread.
  void SendOrGiveUp() ABSL_LOCKS_EXCLUDED(mutex_);
  void OnFinish(int32_t sample, const FinishEvent& event);
  // Sends what is left to say of a sample; the last of them ends the call.
  void EndSample(int32_t sample, ::rwkv::v1::Finish finish, FinishReason reason,
                 const absl::Status& status);
  // Makes of a snapshot what the client asked for; on the worker's thread.
  absl::Status Deliver(int32_t sample, const Snapshot& snapshot,
                       ::rwkv::v1::StateInfo* info);

  // gRPC's side.
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // Begins the next write, or ends the call, if its turn has come.
  void Advance() ABSL_LOCKS_EXCLUDED(mutex_);
  // What is sent of the samples that have ended, if only the best are wanted.
  void KeepBest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool keeps_best() const { return samples_.returned < samples_.drawn; }
  void Unref();

  const ServedModel* const model_;
  Metrics* const metrics_;
  grpc::CallbackServerContext* const context_;
  CallRecord record_;
  std::atomic<int> refs_{1};

  // Set before gRPC or the engine know this call.
  bool with_logprob_ = false;
  uint64_t seed_ = 0;
  SampleCounts samples_;
  StateDelivery delivery_;
  bool delivers_ = false;  // states
  bool is_resumed_ = false;
  std::vector<std::unique_ptr<Sample>> sinks_;
  // Set before gRPC may call OnCancel, which it does not before Start returns.
  std::vector<Engine::RequestId> ids_;

  // Of the write under way; gRPC reads it until OnWriteDone.
  ::rwkv::v1::GenerateResponse writing_;
  bool first_token_written_ = false;  // by OnWriteDone only

  absl::Mutex mutex_;
  DeltaBuffer pending_ ABSL_GUARDED_BY(mutex_);
  bool write_under_way_ ABSL_GUARDED_BY(mutex_) = false;
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;  // nobody reads any more
  bool too_slow_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<double> logprob_sums_ ABSL_GUARDED_BY(mutex_);  // by sample
  int32_t num_ended_ ABSL_GUARDED_BY(mutex_) = 0;             // samples
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;  // the engine is through
  bool finish_called_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status status_;  // set before finish_called_, read after
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_GENERATE_CALL_H_
