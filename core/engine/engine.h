// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_ENGINE_H_
#define RWKVD_CORE_ENGINE_ENGINE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/base/byte_budget.h"
#include "core/base/error_reason.h"
#include "core/base/thread_pool.h"
#include "core/engine/cache/state_cache.h"
#include "core/engine/engine_counters.h"
#include "core/engine/engine_load.h"
#include "core/engine/engine_options.h"
#include "core/engine/engine_stats.h"
#include "core/engine/named_state.h"
#include "core/engine/request.h"
#include "core/engine/request_memory.h"
#include "core/engine/schedule/flow.h"
#include "core/engine/schedule/recent_rate.h"
#include "core/engine/schedule/slot_release_rate.h"
#include "core/engine/sequence/sequence.h"
#include "core/engine/sink.h"
#include "core/engine/step_runner.h"
#include "core/model/model.h"
#include "core/sampling/params.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// Runs requests on one model. A single thread owns the state of every sequence,
// and all running sequences advance together, one forward pass per step.
//
// The public methods only add to the queue and to the set of cancelled
// requests; the engine's thread takes requests out between steps. It sleeps
// while no request runs or waits.
//
// Owned by the server. Thread-safe.
class Engine {
 public:
  using RequestId = uint64_t;

  // `options` are valid. `model`, `tokenizer` and `pool` outlive the engine.
  // Requests refer to `initial_states` by index, the first being the default;
  // an empty list stands for the model's own state.
  Engine(const EngineOptions& options, const Model* model,
         const Tokenizer* tokenizer, ThreadPool* pool,
         std::vector<NamedState> initial_states = {});
  // Ends running requests as Drain(InfinitePast) does, and joins the thread.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Queue slots, tokens and memory reserved for a request whose start state is
  // not loaded yet. The destructor releases them unless Submit has taken the
  // reservation. The engine outlives it, and Drain waits for it.
  // Thread-compatible.
  class Reservation {
   public:
    Reservation(Reservation&& other) noexcept
        : engine_(std::exchange(other.engine_, nullptr)),
          first_id_(other.first_id_),
          num_samples_(other.num_samples_),
          tokens_(other.tokens_),
          flow_use_(std::move(other.flow_use_)),
          bytes_(std::move(other.bytes_)) {}
    Reservation& operator=(Reservation&&) = delete;
    ~Reservation() {
      if (engine_ != nullptr) engine_->Release(*this);
    }

   private:
    friend class Engine;
    Reservation(Engine* engine, RequestId first_id, int64_t num_samples,
                int64_t tokens, ByteBudget::Reservation bytes,
                std::shared_ptr<FlowUse> flow_use)
        : engine_(engine),
          first_id_(first_id),
          num_samples_(num_samples),
          tokens_(tokens),
          flow_use_(std::move(flow_use)),
          bytes_(std::move(bytes)) {}

    Engine* engine_;  // null after a move or Submit
    RequestId first_id_;
    int64_t num_samples_;                // their ids are consecutive
    int64_t tokens_;                     // of one sample
    std::shared_ptr<FlowUse> flow_use_;  // null: the flow without a name
    ByteBudget::Reservation bytes_;      // of all samples
  };

  // Accepts the request, or returns an error and keeps nothing:
  //  - InvalidArgument: a FieldError, or one that names a sampling parameter;
  //  - Unavailable with a RetryAfter: the engine is draining;
  //  - ResourceExhausted with a RetryAfter: max_running + max_queued requests
  //    are present, or max_total_tokens or max_request_bytes would be exceeded.
  // `sink` is called from then on, possibly before Submit returns, and must
  // live until its OnFinish.
  //
  // An accepted request still finishes with kRefused before it has run if it
  // waits for longer than max_queue_time, or once it cannot meet its deadline.
  // The estimate is optimistic, so that few requests are refused wrongly: half
  // of the time that the requests before it need at the recent rate, plus
  // prefill at the best recent speed.
  absl::StatusOr<RequestId> Submit(GenerateRequest request, GenerateSink* sink);
  absl::StatusOr<RequestId> Submit(ScoreRequest request, ScoreSink* sink);
  // Submits one sample of the request per sink. Sample i gets the output that
  // the request would get alone with seed + i. The prompt is prefilled once.
  // Either all samples are accepted or none. At most half of the slots run
  // samples of one request, so that others find slots; the rest waits.
  // InvalidArgument also if there are no sinks, more than kMaxSamples or
  // max_running, or if all samples together exceed MaxRequestTokens or half of
  // max_request_bytes.
  absl::StatusOr<std::vector<RequestId>> Submit(
      GenerateRequest request, absl::Span<GenerateSink* const> sinks);

  // The two halves of Submit, for a request that starts from a snapshot that
  // takes time to load: a full or draining engine refuses the request before
  // anything is loaded for it. Reserve checks everything except `start`, which
  // is still null, and what depends on it; its errors are those of Submit.
  // Submit takes the same request with its `start`, and one sink per sample.
  // It returns InvalidArgument if `start` does not suit the request, and
  // ResourceExhausted if with the tokens of `start` a limit is exceeded;
  // draining does not refuse a reservation.
  absl::StatusOr<Reservation> Reserve(const GenerateRequest& request,
                                      int64_t num_samples);
  absl::StatusOr<std::vector<RequestId>> Submit(
      Reservation reservation, GenerateRequest request,
      absl::Span<GenerateSink* const> sinks);

  // Ends the request at the next step with kCancelled and a Cancelled status.
  // Does nothing if the request is unknown or has ended.
  void Cancel(RequestId id);

  // Suspends requests with snapshot_on_drain at once, as Drain does, but still
  // accepts requests.
  void SuspendRequests();

  // Accepts no more requests. Requests with snapshot_on_drain are suspended at
  // once; the others run until `deadline` of the engine's clock, and then end
  // with kCancelled and an Unavailable status. Returns when all have ended. May
  // be called again with an earlier deadline.
  void Drain(absl::Time deadline);

  // The error that Submit would return now for any request, because the engine
  // is draining or full: a reason not to prepare one.
  absl::Status CheckAccepting() ABSL_LOCKS_EXCLUDED(mutex_);

  // Removes the pin of this name in this cache_partition. Returns false if
  // there is none.
  bool Unpin(absl::string_view name, absl::string_view partition = "") {
    return state_cache_.Unpin(name, partition);
  }
  // All pins of this cache_partition that have not expired, by name.
  std::vector<PinnedPrefix> Pinned(absl::Time now,
                                   absl::string_view partition = "");

  EngineStats Stats() const;
  // `now` is a time of the engine's clock.
  EngineLoad Load(absl::Time now) const ABSL_LOCKS_EXCLUDED(mutex_);

  const EngineOptions& options() const { return options_; }
  // The states that requests can start from; at least one.
  absl::Span<const NamedState> initial_states() const {
    return initial_states_;
  }

 private:
  // What a request is to reserve.
  struct RequestCost {
    int64_t num_samples = 1;
    int64_t tokens = 0;          // of one sample
    int64_t bytes = 0;           // of one sample
    const Flow* flow = nullptr;  // of the request
  };
  using Queue = std::deque<std::unique_ptr<Sequence>>;
  RequestCost CostOf(const GenerateRequest& request, int64_t num_samples) const;

  absl::Status CheckInitialState(int32_t index) const;
  // Checks everything except what depends on `start`.
  absl::Status Check(const GenerateRequest& request, int64_t num_samples) const;
  // InvalidArgument if the request takes more than one request may: it would
  // never be accepted.
  absl::Status CheckCost(const RequestCost& cost) const;
  // Reserves slots, tokens and memory. A request that continues another one is
  // exempt from the limits on slots and tokens.
  absl::StatusOr<Reservation> ReserveSlots(const RequestCost& cost,
                                           bool continues)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // OK if there is room for `num_samples` more samples; otherwise the error of
  // Submit.
  absl::Status CheckRoom(int64_t num_samples, bool continues)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The same for the request's flow, in which `use` is null if it is the one
  // without a name.
  absl::StatusOr<Reservation> ReserveInFlow(const RequestCost& cost,
                                            bool continues,
                                            std::shared_ptr<FlowUse> use)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // OK if a flow that uses `use` has not reached its own limits, and leaves
  // room in the queue and in max_total_tokens for others. Its first request may
  // take as much as any request. InvalidArgument if the flow may never have so
  // many samples.
  absl::Status CheckFlow(const Flow& flow, const FlowUse& use,
                         const RequestCost& cost)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What the flow uses; null for the flow without a name.
  std::shared_ptr<FlowUse> UseOf(const Flow& flow)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Changes what the samples of a flow use, and forgets flows without samples.
  void AddToFlow(FlowUse* use, int64_t num_samples, int64_t tokens)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Raises the tokens and the memory of the reservation to `cost`.
  absl::Status Extend(Reservation* reservation, const RequestCost& cost)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Release(const Reservation& reservation) ABSL_LOCKS_EXCLUDED(mutex_);
  // ResourceExhausted if `tokens` exceed max_total_tokens together with those
  // of the other requests.
  absl::Status CheckTotalTokens(int64_t others, int64_t tokens)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The error for a request that needs `bytes`, and has `held` of them already,
  // when fewer are left in the budget of all requests, or in that of its flow
  // (null: none): ResourceExhausted.
  absl::Status OutOfMemory(int64_t bytes, int64_t held, const FlowUse* use)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The error for a request that is refused because of `quota`, with the reason
  // `why` and a RetryAfter: ResourceExhausted.
  absl::Status Exhausted(ErrorReason reason, absl::string_view quota,
                         absl::string_view why) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Enqueues the samples of a request that has been checked.
  std::vector<RequestId> Enqueue(Reservation reservation,
                                 GenerateRequest request,
                                 absl::Span<GenerateSink* const> sinks);
  void Enqueue(std::unique_ptr<Sequence> sequence) ABSL_LOCKS_EXCLUDED(mutex_);

  // All of the following runs on the engine's thread.
  void Run();
  // Waits for work. Returns false if the thread must stop.
  bool WaitForWork() ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for work while no request runs. Calls options_.on_idle if that takes
  // long.
  void SleepUntilWork() ABSL_LOCKS_EXCLUDED(mutex_);
  // Removes waiting and running requests that were cancelled or that draining
  // ends.
  std::vector<EndedSequence> TakeCancelled(absl::Time now)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns `sequence` with the reason why it ends early. Suspends it if a
  // drain is to do that; a waiting request only if `has_room` for its state.
  EndedSequence EndEarly(std::unique_ptr<Sequence> sequence, bool has_room,
                         absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Removes requests from the queue that have waited for too long, and new ones
  // that cannot meet their deadline behind the others.
  std::vector<EndedSequence> TakeRefused(absl::Time now)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The estimated wait of a request behind `num_before` others.
  absl::Duration WaitBehind(int64_t num_before) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The number of further states that may exist: a snapshot that is not
  // delivered yet takes the memory of a state, as a running sequence does.
  int64_t RoomForStates() const;
  // The waiting request to run next, or the end. Of those that may run now, it
  // is the first one of the flow with the fewest slots for its weight. A
  // request may run if there is room for its states, and neither its samples
  // nor its flow occupy too many slots: the last
  // eighth of all slots, or the last one, is for flows without any. A request
  // that needs branch states does not overtake another one that waits for some.
  Queue::iterator NextToAdmit() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the flow of `sequence` may occupy one more slot.
  bool FlowMayRun(const Sequence& sequence) const;
  // Admits the requests that have waited longest to the free slots. Returns
  // those that cannot meet their deadline any more.
  std::vector<EndedSequence> Admit(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether `sequence` cannot meet its deadline if it is admitted at
  // `admission`.
  bool IsTooLate(const Sequence& sequence, absl::Time admission);
  EndedSequence RefuseAsTooLate(std::unique_ptr<Sequence> sequence);
  // Adds the tokens of the step that has just ended to the recent rates.
  void NoteTokens() ABSL_LOCKS_EXCLUDED(mutex_);
  // Releases the slots of `ended` and sends the ends to their sinks.
  void Retire(std::vector<EndedSequence> ended) ABSL_LOCKS_EXCLUDED(mutex_);

  bool HasWork() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  bool AllHaveEnded() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  const EngineOptions options_;
  const Model* const model_;
  const Tokenizer* const tokenizer_;
  const SamplingVocabulary vocabulary_;
  const std::vector<NamedState> initial_states_;
  EngineCounters counters_;
  const std::shared_ptr<EngineMemory> memory_;
  StateCache state_cache_;
  StepRunner runner_;  // engine's thread only
  // Totals that NoteTokens has seen. Engine's thread only.
  int64_t noted_generated_ = 0;
  int64_t noted_prompt_ = 0;

  // Never held while a sink is called or a step runs.
  mutable absl::Mutex mutex_;
  RequestId last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  // Reserved or accepted requests that have not ended, each with the tokens
  // that it counts for in max_total_tokens; and the sum of these.
  absl::flat_hash_map<RequestId, int64_t> live_ ABSL_GUARDED_BY(mutex_);
  int64_t live_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  // The flows with a name that have live requests.
  absl::flat_hash_map<std::string, std::shared_ptr<FlowUse>> flows_
      ABSL_GUARDED_BY(mutex_);
  // In order of arrival. TakeRefused has not yet seen the last num_new_ ones.
  Queue queue_ ABSL_GUARDED_BY(mutex_);
  size_t num_new_ ABSL_GUARDED_BY(mutex_) = 0;
  SlotReleaseRate slot_release_rate_ ABSL_GUARDED_BY(mutex_);
  RecentRate generated_rate_ ABSL_GUARDED_BY(mutex_);
  RecentRate prompt_rate_ ABSL_GUARDED_BY(mutex_);
  RecentRate ended_rate_ ABSL_GUARDED_BY(mutex_);
  // Live requests to end at the next step.
  absl::flat_hash_set<RequestId> cancelled_ ABSL_GUARDED_BY(mutex_);
  // Requests that are not live any more, but whose OnFinish has not returned.
  size_t num_finishing_ ABSL_GUARDED_BY(mutex_) = 0;
  bool suspending_ ABSL_GUARDED_BY(mutex_) = false;  // also while draining
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time drain_deadline_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  // Whether requests wait although none runs: see RoomForStates.
  bool blocked_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: uses all other members
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_ENGINE_H_
