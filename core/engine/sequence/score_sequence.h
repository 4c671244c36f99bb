// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SEQUENCE_SCORE_SEQUENCE_H_
#define RWKVD_CORE_ENGINE_SEQUENCE_SCORE_SEQUENCE_H_

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/time/time.h"
#include "core/engine/request.h"
#include "core/engine/sequence/score_tree.h"
#include "core/engine/sequence/sequence.h"
#include "core/engine/sink.h"

namespace rwkvd {

// A request for log-probabilities. What all contexts begin with is its prompt;
// from there its texts form a tree, whose nodes are read once each, every
// branch from a copy of the state where they part, several in one step where
// they are short. Continuations are told as they are complete, in any order.
// Threads: see Sequence.
//
// Each row of logits serves whatever tokens follow it, so a score is the same,
// bit for bit, whatever else the request asks for.
class ScoreSequence : public Sequence {
 public:
  // `request` is valid. `sink` and `counters` outlive it.
  ScoreSequence(Id id, ScoreRequest request, ScoreSink* sink,
                EngineCounters* counters);

  int64_t TokensNeeded() const override;
  StepDemand Next() const override;
  void Plan(int64_t num_tokens, LogitsBuffer* buffer,
            std::vector<Chunk>* chunks) override;
  int64_t NumLogitsTasks() const override;
  void ProcessLogits(int64_t task) override;
  std::optional<FinishReason> Deliver(absl::Time now) override;

 protected:
  void SendFinish(FinishEvent event) override;

 private:
  struct Text {
    int64_t item = 0;
    int64_t continuation = 0;
    size_t size = 0;  // tokens of the continuation
  };

  // A node that is read, and a run in it: tokens whose predictions nobody wants
  // and the one after them, or tokens of which each is wanted.
  struct Lane {
    int32_t node = 0;
    size_t read = 0;
    size_t told = 0;       // of the node's ends
    size_t quiet_end = 0;  // before it, no prediction is wanted
    size_t run_end = 0;
    bool done = false;
    State state;
  };

  // A node that was read, and children that wait for a lane.
  struct Branch {
    std::vector<int32_t> children;  // last first
    State state;
  };

  // A prediction of this step: after that token.
  struct Row {
    absl::Span<const float> logits;
    int32_t node = 0;
    size_t offset = 0;
  };

  void BuildTree();
  void FindRun(Lane* lane) const;
  void PlanLane(Lane* lane, size_t num_tokens, LogitsBuffer* buffer,
                std::vector<Chunk>* chunks);
  void ScoreAfter(const Row& row);
  // Lets the children of `node`, which was read, go on from `state`.
  void OpenBranch(int32_t node, State state);
  void OpenLanes();
  // Tells those that end in the first `num_scored` tokens of `node`, from the
  // `told`th; the state is the one before the last of them, if it is known.
  void TellEnds(int32_t node, size_t num_scored, size_t* told,
                const State* state);
  void Tell(const Text& text, ScoreTree::Place end, const State* state);

  ScoreSink* const sink_;
  const int64_t context_tokens_;  // of all items, as they were given
  const std::vector<ScoreItem> items_;
  std::vector<Text> texts_;
  ScoreTree tree_;
  int64_t shared_tokens_ = 0;  // of contexts, read for others already

  bool started_ = false;          // the prompt is read, and the root scored
  std::vector<Lane> lanes_;       // never reallocated
  std::vector<Branch> branches_;  // innermost last
  std::vector<State> spare_states_;
  std::vector<Row> rows_;
  // What an event points to.
  std::vector<TokenLogprob> told_tokens_;
  absl::InlinedVector<bool, 64> told_greedy_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SEQUENCE_SCORE_SEQUENCE_H_
