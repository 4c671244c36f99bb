// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_GENERATE_CALL_H_
#define RWKVD_SERVICE_CALLS_GENERATE_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <memory>
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
#include "service/calls/generate_protocol.h"
#include "service/calls/monitored_call.h"
#include "service/calls/request_message.h"
#include "service/convert/generate_request.h"
#include "service/metrics/metrics.h"
#include "service/served_model.h"

namespace rwkvd {

// One Generate call. It receives the events of each sample from the engine and
// writes them to a gRPC stream. While a write is under way, tokens are
// buffered: a slow client gets larger messages, and the engine never waits. If
// only the best samples are to be returned, all are buffered until all have
// finished.
//
// The message of a call is converted on a thread of the work pool. The call
// then reserves its slots in the engine, loads its start state on the worker's
// thread if it has one, and is submitted.
//
// Owns itself: it is deleted when gRPC (OnDone), the engine (the last
// OnFinish), the work pool and the worker no longer use it. Thread-safe.
// Everything in the environment outlives it.
class GenerateCall final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                           public MonitoredCall {
 public:
  // Answers the call, whose message has arrived, with the messages of
  // `protocol`.
  static GenerateCall* Start(const CallEnvironment& environment,
                             grpc::CallbackServerContext* context,
                             const grpc::ByteBuffer* message,
                             std::unique_ptr<GenerateProtocol> protocol);

  // Cancels the requests of the call, because another call asks for it. The
  // call then ends with OK.
  void Abort() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Forwards the events of one sample to the call.
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

  // What to do after the lock has been released.
  enum class Action { kNothing, kWrite, kFinish };

  GenerateCall(const CallEnvironment& environment,
               grpc::CallbackServerContext* context,
               std::unique_ptr<GenerateProtocol> protocol);
  ~GenerateCall() override = default;

  // The steps from a message to a submitted request. An error ends the call.
  absl::Status Begin(const grpc::ByteBuffer* message);
  // On a thread of the work pool.
  absl::Status Convert(RequestMessage message);
  // Applies the quotas of the caller to the pin and the state of a request.
  absl::Status LimitPinAndState(GenerateInput* input) const;
  // Refuses a request whose response could not fit the memory for responses.
  absl::Status CheckSize(const GenerateInput& input) const;
  // On the worker's thread.
  absl::Status LoadAndSubmit(const std::string& state_handle,
                             Engine::Reservation reservation,
                             GenerateRequest request);
  absl::Status Submit(Engine::Reservation reservation, GenerateRequest request)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends a call that the engine has not accepted.
  void Refuse(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  // Events of the engine.
  void OnPrompt(int32_t sample, const PromptEvent& event);
  void OnToken(int32_t sample, const TokenEvent& event);
  void OnFinish(int32_t sample, const FinishEvent& event);
  // Buffers the end of a sample; the last of them ends the call.
  void EndSample(int32_t sample, ::rwkv::v1::Finish finish, FinishReason reason,
                 const absl::Status& sample_status);
  // Delivers the snapshot of a sample and ends the sample. `charge` is for the
  // snapshot. On the worker's thread.
  void DeliverAndEnd(int32_t sample, std::shared_ptr<const Snapshot> snapshot,
                     ResponseCharge charge, ::rwkv::v1::Finish finish,
                     FinishReason reason, const absl::Status& status);
  // Buffers or saves the state in a snapshot, as the client asked for.
  absl::Status Deliver(int32_t sample, const Snapshot& snapshot,
                       ResponseCharge charge, ::rwkv::v1::StateInfo* info)
      ABSL_LOCKS_EXCLUDED(mutex_);

  bool GiveUp(GiveUpReason reason, const absl::Status& why) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  void GiveUpLocked(const absl::Status& why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Gives the call up if it has buffered more than one call may.
  void CheckPending() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether nobody waits for more of the response.
  bool IsAbandoned() ABSL_LOCKS_EXCLUDED(mutex_);

  // Events of gRPC.
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  void CancelRequests() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Returns what is due: the next write, the end of the call, or nothing.
  Action NextAction() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Not under the lock: gRPC may call back before this returns.
  void Perform(Action action) ABSL_LOCKS_EXCLUDED(mutex_);
  // Drops all buffered samples but those to be returned.
  void KeepBest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool keeps_best() const { return samples_.returned < samples_.generated; }

  const CallEnvironment environment_;
  const ServedModel* const model_;
  Metrics* const metrics_;
  grpc::CallbackServerContext* const context_;
  const std::unique_ptr<GenerateProtocol> protocol_;
  CallRecord record_;

  // Set before Start returns; gRPC does not call OnCancel before.
  WorkPool::TaskId task_;

  // Set before the engine knows this call.
  uint64_t seed_ = 0;
  SampleCounts samples_;
  int64_t prompt_tokens_ = 0;  // taken from the quota
  Delivery delivery_;
  bool delivers_state_ = false;
  bool is_resumed_ = false;
  std::vector<std::unique_ptr<Sample>> sinks_;

  // The message that gRPC reads until OnWriteDone.
  GenerateMessage writing_;
  bool first_token_written_ = false;  // used by OnWriteDone only

  absl::Mutex mutex_;
  std::vector<Engine::RequestId> ids_ ABSL_GUARDED_BY(mutex_);
  bool cancelled_ ABSL_GUARDED_BY(mutex_) =
      false;  // by the client, or too late
  bool aborted_ ABSL_GUARDED_BY(mutex_) = false;
  // Why the requests were cancelled, if the identity has generated too much.
  absl::Status over_quota_ ABSL_GUARDED_BY(mutex_);
  // By sample: its tokens since then, of which one is delivered.
  std::vector<int64_t> tokens_over_quota_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<GenerateMessages> pending_ ABSL_GUARDED_BY(mutex_);
  bool write_under_way_ ABSL_GUARDED_BY(mutex_) = false;
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;      // nothing more is written
  bool given_up_ ABSL_GUARDED_BY(mutex_) = false;  // status_ says why
  std::vector<double> logprob_sums_ ABSL_GUARDED_BY(mutex_);  // by sample
  int32_t num_ended_ ABSL_GUARDED_BY(mutex_) = 0;             // samples
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;  // no more events will come
  bool finish_called_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status status_;  // set before finish_called_, read after
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_GENERATE_CALL_H_
