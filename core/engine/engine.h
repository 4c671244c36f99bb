// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_ENGINE_H_
#define RWKVD_CORE_ENGINE_ENGINE_H_

#include <cstdint>
#include <deque>
#include <memory>
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
#include "core/base/thread_pool.h"
#include "core/engine/cache/state_cache.h"
#include "core/engine/engine_counters.h"
#include "core/engine/engine_options.h"
#include "core/engine/engine_stats.h"
#include "core/engine/named_state.h"
#include "core/engine/request.h"
#include "core/engine/schedule/slot_release_rate.h"
#include "core/engine/sequence/sequence.h"
#include "core/engine/sink.h"
#include "core/engine/step_runner.h"
#include "core/model/model.h"
#include "core/sampling/params.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// Runs requests against one model: a single thread owns every sequence's
// state, and all running sequences advance together, one forward pass a step.
//
// The public methods put requests into an inbox, and take none out: that is
// done by the engine's own thread, between steps. While nothing runs and
// nothing waits, the thread sleeps.
//
// Owned by the server; `model`, `tokenizer` and `pool` outlive it. Thread-safe.
class Engine {
 public:
  using RequestId = uint64_t;

  // `options` are valid. `initial_states` are what requests may start from, the
  // default first; if there are none, that is the model's own state.
  Engine(const EngineOptions& options, const Model* model,
         const Tokenizer* tokenizer, ThreadPool* pool,
         std::vector<NamedState> initial_states = {});
  // Ends what still runs as Drain(InfinitePast) does, and joins the thread.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Queue slots and tokens that are set aside for a request whose start state
  // has not been loaded yet. They are given back when it is destroyed, unless
  // Submit took it. The engine outlives it; draining waits for it. Thread-safe
  // as a value: one thread at a time.
  class Reservation {
   public:
    Reservation(Reservation&& other) noexcept
        : engine_(std::exchange(other.engine_, nullptr)),
          first_id_(other.first_id_),
          num_samples_(other.num_samples_),
          tokens_(other.tokens_) {}
    Reservation& operator=(Reservation&&) = delete;
    ~Reservation() {
      if (engine_ != nullptr) engine_->Release(*this);
    }

   private:
    friend class Engine;
    Reservation(Engine* engine, RequestId first_id, int64_t num_samples,
                int64_t tokens)
        : engine_(engine),
          first_id_(first_id),
          num_samples_(num_samples),
          tokens_(tokens) {}

    Engine* engine_;  // null once it was moved from or submitted
    RequestId first_id_;
    int64_t num_samples_;  // their ids follow first_id_
    int64_t tokens_;       // of one sample
  };

  // Takes the request in, or returns without having kept anything:
  // InvalidArgument naming the field; Unavailable while draining;
  // ResourceExhausted if max_running + max_queued requests are there already,
  // or max_total_tokens would be exceeded; it carries a RetryAfter.
  // On success `sink` is called from then on, possibly before Submit returns,
  // and must live until its OnFinish. That tells kRefused, before the request
  // has run, if it waits for longer than max_queue_time, or as soon as it
  // cannot meet its deadline any more: an estimate on the safe side, from half
  // the time that those before it would take at the pace of late, and from
  // reading its prompt alone at the best speed of late.
  absl::StatusOr<RequestId> Submit(GenerateRequest request, GenerateSink* sink);
  // As many samples of one request as there are sinks, each told to its own:
  // sample i is what the request alone is answered with seed + i. The prompt is
  // read once. Each takes a place of its own, so all together must fit.
  // InvalidArgument if they are none, or more than kMaxSamples or max_running.
  absl::StatusOr<std::vector<RequestId>> Submit(
      GenerateRequest request, absl::Span<GenerateSink* const> sinks);
  absl::StatusOr<RequestId> Submit(ScoreRequest request, ScoreSink* sink);

  // The two halves of Submit, for a request that starts from a snapshot which
  // takes time to load. Reserve checks all but `start` (still null) and what
  // depends on it, and returns the same errors as Submit; so a full or draining
  // engine refuses a request before anything is loaded for it. The second half
  // takes the same request, with its `start`, and as many sinks as there are
  // samples: InvalidArgument if `start` does not suit the request,
  // ResourceExhausted if the tokens of `start` exceed max_total_tokens.
  // Draining does not refuse what was reserved before.
  absl::StatusOr<Reservation> Reserve(const GenerateRequest& request,
                                      int64_t num_samples);
  absl::StatusOr<std::vector<RequestId>> Submit(
      Reservation reservation, GenerateRequest request,
      absl::Span<GenerateSink* const> sinks);

  // Ends the request at the next step with kCancelled and a Cancelled status.
  // Does nothing if it has ended already, or is unknown.
  void Cancel(RequestId id);

  // Takes no more requests, lets the accepted ones run until `deadline`, then
  // ends the rest with kCancelled and an Unavailable status. Those that want
  // to be handed back end so at once, with a snapshot. Returns when all have
  // ended. May be called again with an earlier deadline.
  void Drain(absl::Time deadline);

  // Takes away the name of a pinned prefix; false if there is none of this
  // name.
  bool Unpin(absl::string_view name) { return state_cache_.Unpin(name); }
  // By name, without those whose time is over.
  std::vector<PinnedPrefix> Pinned(absl::Time now);

  // Counters, gauges and histograms since the start.
  EngineStats Stats() const;

  const EngineOptions& options() const { return options_; }
  // At least one.
  absl::Span<const NamedState> initial_states() const {
    return initial_states_;
  }

 private:
  absl::Status CheckInitialState(int32_t index) const;
  // Checks all but what depends on `start`.
  absl::Status Check(const GenerateRequest& request, int64_t num_samples) const;
  // Reserves for `num_samples` requests of `tokens` each, or returns why not. A
  // request that `continues` another one may exceed the limits.
  absl::StatusOr<Reservation> ReserveSlots(int64_t num_samples, int64_t tokens,
                                           bool continues)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Raises what the reservation counts for to `tokens` a sample.
  absl::Status Extend(Reservation* reservation, int64_t tokens)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Release(const Reservation& reservation) ABSL_LOCKS_EXCLUDED(mutex_);
  // ResourceExhausted if `tokens` exceed max_total_tokens in addition to those
  // of the `others`.
  absl::Status CheckTotalTokens(int64_t others, int64_t tokens)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Enqueues a request that has been checked.
  std::vector<RequestId> Enqueue(Reservation reservation,
                                 GenerateRequest request,
                                 absl::Span<GenerateSink* const> sinks);
  absl::Status Exhausted(absl::string_view why) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Enqueue(std::unique_ptr<Sequence> sequence) ABSL_LOCKS_EXCLUDED(mutex_);

  // The engine's thread.
  void Run();
  // Returns when there is something to do; false if that is to stop.
  bool WaitForWork() ABSL_LOCKS_EXCLUDED(mutex_);
  // As that, where nothing runs: tells options_.on_idle if it takes long.
  void SleepUntilWork() ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes out, waiting or running, what was cancelled or has outlived Drain.
  std::vector<Ended> TakeCancelled(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes out of the queue who has waited for too long, and whoever is new and
  // cannot meet its deadline behind the others.
  std::vector<Ended> TakeRefused(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  // Lets those who wait longest join the running ones, as far as places go;
  // returns who would do so too late.
  std::vector<Ended> Admit(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether `sequence` cannot meet its deadline if it joins at `joins`.
  bool IsTooLate(const Sequence& sequence, absl::Time joins);
  Ended RefuseAsTooLate(std::unique_ptr<Sequence> sequence);
  // Frees the places of `ended`, then tells their sinks.
  void Retire(std::vector<Ended> ended) ABSL_LOCKS_EXCLUDED(mutex_);

  bool HasWork() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  bool AllHaveEnded() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  const EngineOptions options_;
  const Model* const model_;
  const Tokenizer* const tokenizer_;
  const SamplingVocabulary vocabulary_;
  const std::vector<NamedState> initial_states_;
  EngineCounters counters_;
  StateCache state_cache_;
  StepRunner runner_;  // engine's thread only

  // Never held while a sink is called or a step runs.
  mutable absl::Mutex mutex_;
  RequestId last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  // Reserved or accepted, and not ended: not in queue_ yet, in it, or running.
  // With what each counts for in max_total_tokens, and the sum of that.
  absl::flat_hash_map<RequestId, int64_t> live_ ABSL_GUARDED_BY(mutex_);
  int64_t live_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  // In order of arrival; the last num_new_ have not met TakeRefused yet.
  std::deque<std::unique_ptr<Sequence>> queue_ ABSL_GUARDED_BY(mutex_);
  size_t num_new_ ABSL_GUARDED_BY(mutex_) = 0;
  SlotReleaseRate slot_release_rate_ ABSL_GUARDED_BY(mutex_);
  // Live ones to be ended at the next step.
  absl::flat_hash_set<RequestId> cancelled_ ABSL_GUARDED_BY(mutex_);
  // Ended, but their OnFinish has not returned.
  size_t num_finishing_ ABSL_GUARDED_BY(mutex_) = 0;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time drain_deadline_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_ENGINE_H_
