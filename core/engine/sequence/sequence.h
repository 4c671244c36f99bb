// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SEQUENCE_SEQUENCE_H_
#define RWKVD_CORE_ENGINE_SEQUENCE_SEQUENCE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/engine/branch_states.h"
#include "core/engine/cache/cache_use.h"
#include "core/engine/cache/state_cache.h"
#include "core/engine/draft/drafter.h"
#include "core/engine/engine_counters.h"
#include "core/engine/request_memory.h"
#include "core/engine/schedule/flow.h"
#include "core/engine/schedule/step_demand.h"
#include "core/engine/sequence/logits_buffer.h"
#include "core/engine/sequence/sample_group.h"
#include "core/engine/sequence/shared_prompt.h"
#include "core/engine/sink.h"
#include "core/engine/snapshot.h"
#include "core/model/model.h"

namespace rwkvd {

// `tokens`, or the single token 0 if there are none: a recurrent model predicts
// only after processing a token.
std::vector<int32_t> OrStartToken(std::vector<int32_t> tokens);

// The state before a sequence's prompt. At most one pointer is set; if none is,
// it is an initial state of the engine.
struct SequenceStart {
  int32_t initial_state = 0;  // index
  std::shared_ptr<const State> state;
  std::shared_ptr<const Snapshot> snapshot;
};

// What a sequence is made of, whatever the kind of its request.
struct SequenceParams {
  uint64_t id = 0;
  // The tokens to prefill. With a snapshot, its tokens come first, although
  // all but the pending ones have been processed. May be empty.
  std::vector<int32_t> prompt;
  int64_t usage_prompt_tokens = 0;  // reported in Usage
  SequenceStart start;
  CacheUse::Params cache;
  std::shared_ptr<SharedPrompt> shared_prompt;  // null: not shared
  absl::Time received;
  absl::Time deadline = absl::InfiniteFuture();
  // Whether it continues an accepted request, and so cannot be refused.
  bool continues = false;
  EngineCounters* counters = nullptr;  // outlives the sequence
};

// One request on its way through the engine. It waits in the queue, is admitted
// to a slot, takes part in steps, and can be finished at any time. This base
// class processes tokens; the subclasses GenerateSequence and ScoreSequence
// decide what is done with the predictions.
//
// Each step calls, in this order: NextDemand, GuessDraft (maybe), Plan,
// ProcessLogits (after the forward pass), MarkPrefilled, SendResults.
//
// Made by the thread that submits the request. From then on the engine owns it
// and only the engine's thread uses it, except for ProcessLogits.
class Sequence {
 public:
  using Id = uint64_t;

  explicit Sequence(SequenceParams params);
  // Leaves its slot.
  virtual ~Sequence();
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  Id id() const { return id_; }
  absl::Time received() const { return received_; }
  // The time by which NumRequiredTokens() must have been processed.
  absl::Time deadline() const { return deadline_; }
  bool continues() const { return continues_; }
  // The unprocessed tokens on which the deadline depends: by default, the
  // prompt's.
  virtual int64_t NumRequiredTokens() const {
    return is_prefilled() ? 0
                          : static_cast<int64_t>(prompt_size_ - num_processed_);
  }
  // Counts the required tokens before the sequence is queued: any thread that
  // holds the engine's lock may then read how many a queued sequence requires.
  void CountRequiredTokens() { num_required_at_start_ = NumRequiredTokens(); }
  int64_t num_required_at_start() const { return num_required_at_start_; }
  // Sets the memory that was reserved for the sequence, and the samples that it
  // belongs to. Before it is queued.
  void SetMemory(RequestMemory memory) { memory_ = std::move(memory); }
  void SetGroup(std::shared_ptr<SampleGroup> group) {
    group_ = std::move(group);
  }
  // Sets the flow of its request, and what that uses. Before it is queued.
  void SetFlow(Flow flow, std::shared_ptr<FlowUse> use) {
    flow_ = std::move(flow);
    flow_use_ = std::move(use);
  }
  const Flow& flow() const { return flow_; }
  // Null if the name of the flow is empty.
  const FlowUse* flow_use() const { return flow_use_.get(); }
  FlowUse* mutable_flow_use() { return flow_use_.get(); }
  // Null if its request has only one sample.
  const SampleGroup* group() const { return group_.get(); }
  // Marks that it has a slot, until it is destroyed.
  void OccupySlot();

  // The least number of states, in addition to that of its slot, without which
  // the sequence cannot run.
  virtual int64_t NumBranchStates() const { return 0; }
  // Sets the sequence's NumBranchStates() states, before it is admitted.
  void SetBranchStates(BranchStates::Lease states) {
    branch_states_ = std::move(states);
  }
  // All tokens to prefill; see SequenceParams.
  absl::Span<const int32_t> prompt() const {
    return absl::MakeConstSpan(tokens_).first(prompt_size_);
  }
  // The state before the prompt. Its snapshot is null after the first step.
  const SequenceStart& start() const { return start_; }
  CacheUse& cache_use() { return cache_use_; }
  const CacheUse& cache_use() const { return cache_use_; }

  // Admits the sequence: with the state before its prompt, with its snapshot,
  // or with a known prefix of prompt().
  void AdmitFrom(State state, absl::Time now);
  void AdmitFromSnapshot(absl::Time now);
  void AdmitFrom(const KnownPrefix& known, absl::Time now);
  bool is_admitted() const { return admitted_at_.has_value(); }

  // The prompt shared with other samples; null if there is none, or once its
  // result is known.
  const std::shared_ptr<SharedPrompt>& shared_prompt() const {
    return shared_prompt_;
  }
  void LeaveSharedPrompt() { shared_prompt_ = nullptr; }
  // Continues from a prefix of prompt() that has become known.
  void ContinueFrom(const KnownPrefix& known);
  // Continues the prefill of the same prompt where `leader` has stopped.
  void TakeOverPrefill(const Sequence& leader);

  // What the sequence could use of the next step.
  virtual StepDemand NextDemand() const;

  // The drafts of a sequence that decodes; null if it never has any.
  virtual Drafter* drafter() { return nullptr; }
  // Guesses at most `max_tokens` tokens that the sequence will generate after
  // the one that it processes next. Returns their number. Plan adds those that
  // drafter() is then told to use.
  virtual int64_t GuessDraft(int64_t /*max_tokens*/) { return 0; }

  // Adds `num_tokens`, at most those of NextDemand, to the step: appends their
  // chunks to `chunks`, with logits from `buffer`.
  virtual void Plan(int64_t num_tokens, LogitsBuffer* buffer,
                    std::vector<Chunk>* chunks);

  // The step's logits are processed in NumLogitsTasks tasks. ProcessLogits runs
  // one of them; any threads may run different tasks at the same time.
  virtual int64_t NumLogitsTasks() const;
  virtual void ProcessLogits(int64_t task) = 0;

  // Whether all logits that ProcessLogits has read are finite. If not, the
  // sequence must be ended: it has no predictions to send.
  bool has_finite_logits() const {
    return has_finite_logits_.load(std::memory_order_relaxed);
  }
  // The error of a sequence with logits that are not finite.
  absl::Status NonFiniteLogitsError() const;

  // Returns true exactly once: in the step that completed the prompt. Checks
  // its logits, since a request without output does not process them.
  bool MarkPrefilled(absl::Time now);

  // Sends the results of the step to the sink. Returns the reason to finish if
  // the sequence is complete.
  virtual std::optional<FinishReason> SendResults(absl::Time now) = 0;

  // Whether the sequence is to be suspended when draining begins.
  virtual bool SuspendsOnDrain() const { return false; }
  // Marks the Finish that follows as a suspension, which takes a snapshot to
  // resume from. The sequence must be admitted.
  void Suspend() { is_suspended_ = true; }

  // Sends the end to the sink. The last call.
  void Finish(FinishReason reason, const absl::Status& status, absl::Time now);

  // The position of the sequence, valid until the next Plan: all processed
  // tokens, the state after them, and the logits that predict the next token
  // (empty within a prompt).
  absl::Span<const int32_t> processed_tokens() const {
    return absl::MakeConstSpan(tokens_).first(num_processed_);
  }
  const State& state() const { return state_; }
  absl::Span<const float> logits() const { return logits_; }
  bool IsAtSavePoint() const {
    return cache_use_.IsSavePoint(static_cast<int64_t>(num_processed_));
  }

 protected:
  // Adds to `event` what the kind of request reports, and sends it to the sink.
  virtual void SendFinish(FinishEvent event) = 0;

  bool is_suspended() const { return is_suspended_; }
  // Everything the base class tracks; subclasses add their own fields. Moves
  // state and tokens out, so only at the end.
  Snapshot TakeSnapshot();
  // Does the work of Plan with the logits of all these tokens, or only of the
  // last token that is known. Returns the logits: [0, 1 or num_tokens,
  // vocab_size].
  absl::Span<const float> AddTokens(int64_t num_tokens, bool all_logits,
                                    LogitsBuffer* buffer,
                                    std::vector<Chunk>* chunks);
  // Does the work of Plan for the next token and for `draft`, the tokens after
  // it, with the logits of all. `inner_states` are for all but the last. The
  // position is that after the next token until AcceptDraft is called.
  void AddDraft(absl::Span<const int32_t> draft, absl::Span<State> inner_states,
                LogitsBuffer* buffer, std::vector<Chunk>* chunks);
  // The logits after the first `num_tokens` tokens of the draft.
  absl::Span<const float> LogitsInDraft(int64_t num_tokens) const;
  // Moves the position past the first `num_tokens` tokens of the draft of this
  // step, if it has one, and drops the others.
  void AcceptDraft(int64_t num_tokens);
  // Checks a row of logits, and remembers if it is not finite. Called by
  // ProcessLogits before it uses the row.
  bool CheckFinite(absl::Span<const float> logits);
  // Moves the state out. After the prompt only, and if the sequence does not
  // finish in this step: otherwise the state would be stored.
  State TakeState() { return std::move(state_); }
  BranchStates::Lease& branch_states() { return branch_states_; }
  const BranchStates::Lease& branch_states() const { return branch_states_; }
  // Drops logits(), and a snapshot that owns them.
  void DropLogits();
  // The memory that was reserved, for a snapshot that outlives the sequence.
  RequestMemory TakeMemory() { return std::move(memory_); }
  // Makes room for `num_tokens` that are appended later, so that the vector
  // never has more capacity than it needs.
  void ReserveTokens(int64_t num_tokens) {
    tokens_.reserve(tokens_.size() + static_cast<size_t>(num_tokens));
  }
  // Adds a token to process next.
  void Append(int32_t token) { tokens_.push_back(token); }
  // All tokens: the prompt, and those appended to it.
  absl::Span<const int32_t> tokens() const { return tokens_; }
  uint64_t prompt_id() const { return prompt_id_; }
  bool is_prefilled() const { return num_processed_ >= prompt_size_; }
  void MarkFirstToken(absl::Time now) { first_token_at_ = now; }
  Usage& usage() { return usage_; }
  EngineCounters& counters() { return *counters_; }

 private:
  bool WaitsForLeader() const {
    return shared_prompt_ != nullptr && shared_prompt_->MustWait(this);
  }
  Times TimesAt(absl::Time now) const;

  const Id id_;
  const uint64_t prompt_id_;     // see StepDemand::prompt
  std::vector<int32_t> tokens_;  // the prompt, then appended tokens
  const size_t prompt_size_;
  SequenceStart start_;
  CacheUse cache_use_;
  std::shared_ptr<SharedPrompt> shared_prompt_;
  const absl::Time received_;
  const absl::Time deadline_;
  const bool continues_;
  const bool starts_from_snapshot_;
  EngineCounters* const counters_;
  BranchStates::Lease branch_states_;
  RequestMemory memory_;
  std::shared_ptr<SampleGroup> group_;
  Flow flow_;
  std::shared_ptr<FlowUse> flow_use_;

  int64_t num_required_at_start_ = 0;
  bool has_slot_ = false;
  bool is_suspended_ = false;
  std::atomic<bool> has_finite_logits_ = true;
  size_t num_processed_ = 0;  // of tokens_; state_ is the one after them
  State state_;
  absl::Span<const float> logits_;
  // Owns logits_ if they were known. A copy, because a prefix that a sequence
  // kept would take memory after the state cache has evicted it.
  std::vector<float> known_logits_;
  // Of a step with a draft: the logits after the next token and after each of
  // the draft, and the states after all of these tokens but the last.
  absl::Span<const float> draft_logits_;
  absl::Span<State> inner_states_;
  Usage usage_;
  std::optional<absl::Time> admitted_at_;
  std::optional<absl::Time> prefilled_at_;
  std::optional<absl::Time> first_token_at_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SEQUENCE_SEQUENCE_H_
