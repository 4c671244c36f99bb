// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SEQUENCE_SEQUENCE_H_
#define RWKVD_CORE_ENGINE_SEQUENCE_SEQUENCE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/engine/cache/state_cache.h"
#include "core/engine/engine_counters.h"
#include "core/engine/request.h"
#include "core/engine/schedule/scheduler.h"
#include "core/engine/sequence/logits_buffer.h"
#include "core/engine/sink.h"
#include "core/engine/snapshot.h"
#include "core/model/model.h"

namespace rwkvd {

class Sequence;

// What the samples of one request share: their prompt is read once, by the
// first of them that joins the running ones. Engine thread only.
struct SharedPrompt {
  const Sequence* reader = nullptr;  // of the prompt; null before one joins
  std::shared_ptr<const KnownPrefix> known;  // all of it, once it was read
};

// `tokens`, or if there are none, the token 0: a recurrent network predicts
// only after reading.
std::vector<int32_t> OrStartToken(std::vector<int32_t> tokens);

// One request on its way through the engine: first it waits, then it joins the
// running ones and takes part in steps, and at any time it may be finished.
// This part reads tokens; what is done with the predictions is left to the
// kinds of request, GenerateSequence and ScoreSequence.
//
// A step calls, in this order: Next, Plan, ProcessLogits (once the forward pass
// is done), NotePromptRead, Deliver.
//
// Made by the thread that submits it; from then on owned by the engine and used
// by its thread alone, but for ProcessLogits.
class Sequence {
 public:
  using Id = uint64_t;

  // What comes of an empty prompt: the token 0 is read, or nothing.
  enum class EmptyPrompt { kStartToken, kNothing };

  // A `snapshot`, if there is one, takes the place of the initial state, and
  // may make do without a prompt. `counters` outlives it.
  Sequence(Id id, std::vector<int32_t> prompt, EmptyPrompt empty_prompt,
           int32_t initial_state, bool use_state_cache, absl::Time received,
           EngineCounters* counters,
           std::shared_ptr<const Snapshot> snapshot = nullptr);
  virtual ~Sequence() = default;
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  Id id() const { return id_; }
  // What it starts from, as an index.
  int32_t initial_state() const { return initial_state_; }
  bool use_state_cache() const { return use_state_cache_; }
  // Under which name its prompt is to be kept, if any.
  const std::optional<PinRequest>& pin() const { return pin_; }
  absl::Time received() const { return received_; }
  // By when TokensNeeded() must have been read.
  absl::Time deadline() const { return deadline_; }
  virtual int64_t TokensNeeded() const {
    return static_cast<int64_t>(prompt_size_ - read_);
  }
  // A state to start from that is not one of the initial states; or null.
  const State* start() const { return start_.get(); }
  // Whether it goes on with what was taken in before, and is not refused now.
  bool continues() const { return continues_; }
  // What it goes on from, until its first step; null if that is a state.
  const Snapshot* snapshot() const { return snapshot_.get(); }
  // What is read before anything else, with what its snapshot has read.
  absl::Span<const int32_t> prompt() const {
    return absl::MakeConstSpan(tokens_).first(prompt_size_);
  }

  // Joins the running ones: from the start, that is with its initial state, or
  // with a prefix of prompt() known.
  void Join(State start, absl::Time now);
  void JoinFromSnapshot(absl::Time now);
  void Join(std::shared_ptr<const KnownPrefix> known, absl::Time now);
  bool has_joined() const { return joined_at_.has_value(); }

  // Of samples of one request, what they share; else null.
  const std::shared_ptr<SharedPrompt>& shared_prompt() const {
    return shared_prompt_;
  }
  // Goes on from a prefix of prompt() that has become known.
  void Adopt(std::shared_ptr<const KnownPrefix> known);
  // Has no part in it any more.
  void LeaveSharedPrompt() { shared_prompt_ = nullptr; }
  // Goes on with reading their prompt where `reader` has come to.
  void TakeOver(const Sequence& reader);

  // Numbers of tokens of prompt(), ascending, after which the state is to be
  // kept: no step goes past one.
  void SetSavePoints(std::vector<int64_t> places) {
    save_points_ = std::move(places);
  }
  // Whether the last step came to one.
  bool AtSavePoint() const;

  // What it could use of the next step.
  virtual StepDemand Next() const;

  // Takes its part in the step, of `num_tokens` as Next demanded: appends its
  // chunks, whose logits are taken from `buffer`.
  virtual void Plan(int64_t num_tokens, LogitsBuffer* buffer,
                    std::vector<Chunk>* chunks);

  // What is computed from the logits of this step comes in NumLogitsTasks
  // pieces. ProcessLogits computes one; different ones at the same time on any
  // thread.
  virtual int64_t NumLogitsTasks() const;
  virtual void ProcessLogits(int64_t task) = 0;

  // True once: in the step that completed the prompt.
  bool NotePromptRead(absl::Time now);

  // Tells the sink what has come of the step. The reason to finish, if it is
  // complete.
  virtual std::optional<FinishReason> Deliver(absl::Time now) = 0;

  // Whether it is to end when draining begins, with a snapshot.
  virtual bool SuspendsOnDrain() const { return false; }
  // The end that follows is that. It has joined.
  void Suspend() { is_suspended_ = true; }

  // Tells the sink the end. The last call.
  void Finish(FinishReason reason, const absl::Status& status, absl::Time now);

  // What is known now: all tokens read, the state after them, and the logits
  // that follow them (empty in the midst of a prompt). Until the next Plan.
  absl::Span<const int32_t> tokens_read() const {
    return absl::MakeConstSpan(tokens_).first(read_);
  }
  const State& state() const { return state_; }
  absl::Span<const float> logits() const { return logits_; }

 protected:
  // Completes `event` with what a kind of request adds, and sends it to the
  // sink.
  virtual void SendFinish(FinishEvent event) = 0;

  bool is_suspended() const { return is_suspended_; }
  // All it has come to but what a kind of request adds. At the end only.
  Snapshot TakeSnapshot();
  // As Plan, with the logits of all these tokens or of the last one only;
  // returns those there are: [0, 1 or num_tokens, vocab_size].
  absl::Span<const float> Read(int64_t num_tokens, bool all_logits,
                               LogitsBuffer* buffer,
                               std::vector<Chunk>* chunks);
  // What was predicted is of no more use, nor is what it came from.
  void DropLogits();
  // A token to be read next.
  void Append(int32_t token) { tokens_.push_back(token); }
  bool prompt_is_read() const { return read_ >= prompt_size_; }
  void PinAs(std::optional<PinRequest> pin) { pin_ = std::move(pin); }
  void Share(std::shared_ptr<SharedPrompt> prompt) {
    shared_prompt_ = std::move(prompt);
  }
  void NoteFirstToken(absl::Time now) { first_token_at_ = now; }
  void EndBy(absl::Time deadline) { deadline_ = deadline; }
  void StartFrom(std::shared_ptr<const State> state) {
    start_ = std::move(state);
  }
  void SetContinues(bool continues) { continues_ = continues; }
  Usage& usage() { return usage_; }
  EngineCounters& counters() { return *counters_; }

 private:
  // Whether another sample reads the prompt.
  bool Waits() const;
  Times TimesAt(absl::Time now) const;

  const Id id_;
  // What its start has read, the prompt, then what is appended.
  std::vector<int32_t> tokens_;
  const size_t prompt_size_;
  const int32_t initial_state_;
  const bool use_state_cache_;
  std::optional<PinRequest> pin_;
  std::shared_ptr<SharedPrompt> shared_prompt_;
  const absl::Time received_;
  absl::Time deadline_ = absl::InfiniteFuture();
  std::shared_ptr<const State> start_;
  bool continues_ = false;
  EngineCounters* const counters_;

  std::shared_ptr<const Snapshot> snapshot_;  // until its first step
  bool is_suspended_ = false;
  size_t read_ = 0;  // of tokens_; the state is the one after them
  std::vector<int64_t> save_points_;
  State state_;
  absl::Span<const float> logits_;
  std::shared_ptr<const KnownPrefix> known_;  // keeps logits_ alive, if from it
  Usage usage_;
  std::optional<absl::Time> joined_at_;
  std::optional<absl::Time> prompt_read_at_;
  std::optional<absl::Time> first_token_at_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SEQUENCE_SEQUENCE_H_
