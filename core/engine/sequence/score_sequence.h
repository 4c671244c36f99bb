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

// A request for log-probabilities. Its prompt is the beginning of all contexts.
// After the prompt its texts form a tree, each node of which is processed once:
// branches start from copies of the state at their fork, and several short
// nodes share a step. Scores of a continuation are sent when it is complete, so
// in any order. Threads: see Sequence.
//
// A row of logits scores every token that follows it, so a score is
// bit-identical whatever else the request contains.
class ScoreSequence : public Sequence {
 public:
  // `request` is valid. `sink` and `counters` outlive the sequence.
  ScoreSequence(Id id, ScoreRequest request, ScoreSink* sink,
                EngineCounters* counters);

  int64_t NumRequiredTokens() const override;
  int64_t NumBranchStates() const override;
  StepDemand NextDemand() const override;
  void Plan(int64_t num_tokens, LogitsBuffer* buffer,
            std::vector<Chunk>* chunks) override;
  int64_t NumLogitsTasks() const override;
  void ProcessLogits(int64_t task) override;
  std::optional<FinishReason> SendResults(absl::Time now) override;

 protected:
  void SendFinish(FinishEvent event) override;

 private:
  // Nodes processed in one step. Each holds a state meanwhile; a hundred states
  // of the largest models would be gigabytes.
  static constexpr size_t kMaxLanes = 16;

  // A continuation, by its indices in the request.
  struct Text {
    int64_t item = 0;
    int64_t continuation = 0;
    size_t size = 0;  // tokens
  };

  // A node that is being processed, and the current run in it: either tokens
  // without wanted predictions followed by one token with, or only tokens with
  // wanted predictions.
  struct Lane {
    int32_t node = 0;
    size_t num_processed = 0;  // tokens of the node
    size_t num_sent = 0;       // ends of the node
    size_t unscored_end = 0;   // no prediction before it is wanted
    size_t run_end = 0;
    bool done = false;
    State state;

    // Tokens left in the run, and those of them without wanted predictions.
    size_t NumLeft() const { return run_end - num_processed; }
    size_t NumUnscored() const {
      return unscored_end > num_processed ? unscored_end - num_processed : 0;
    }
  };

  // A processed node with children that wait for a lane.
  struct Branch {
    std::vector<int32_t> children;  // last first
    State state;
  };

  // A prediction of this step: that after token `offset` of `node`.
  struct Row {
    absl::Span<const float> logits;
    int32_t node = 0;
    size_t offset = 0;
  };

  void BuildTree();
  // The tokens of all nodes that must be processed.
  int64_t NumTreeTokens() const;
  void FindRun(Lane* lane) const;
  void PlanLane(Lane* lane, size_t num_tokens, LogitsBuffer* buffer,
                std::vector<Chunk>* chunks);
  // Sets the scores of all tokens that may follow `row`.
  void ScoreAfter(const Row& row);
  // Sends the texts that end with a single token after `node`: they need no
  // forward pass. `state` is the one after the node.
  void SendSingleTokens(int32_t node, const State& state);
  // Lets the children of a processed node start from `state`.
  void OpenBranch(int32_t node, State state);
  // Opens lanes for the children of the innermost branches.
  void OpenLanes();
  // Whether there are states for another lane, and for all that is below the
  // lanes then open.
  bool MayOpenLane();
  // The most states that the open lanes and branches can need at the same time,
  // if branches are finished one by one from the innermost on.
  int64_t NumStatesToFinish() const;
  // Returns the states that are not needed any more.
  void ReleaseStates();
  // The states that it may hold: its slot's and those of its branches.
  int64_t MaxStates() const { return 1 + branch_states().size(); }
  // Sends the texts that end within the first `num_scored` tokens of `node`,
  // starting with its end number *num_sent. `state` is the one before the
  // node's last token, or null if it is not known.
  void SendEnds(int32_t node, size_t num_scored, size_t* num_sent,
                const State* state);
  void SendText(const Text& text, ScoreTree::Position end, const State* state);

  ScoreSink* const sink_;
  const int64_t context_tokens_;  // of all items, without start tokens
  const std::vector<ScoreItem> items_;
  std::vector<Text> texts_;
  ScoreTree tree_;
  int64_t tree_tokens_left_ = 0;  // of NumTreeTokens(), unprocessed
  int64_t shared_tokens_ = 0;  // context tokens processed for another context

  bool started_ = false;          // the prompt is processed, the root scored
  std::vector<Lane> lanes_;       // never reallocated
  std::vector<Branch> branches_;  // innermost last
  std::vector<State> spare_states_;
  std::vector<Row> rows_;
  // Own what spans in events refer to.
  std::vector<TokenLogprob> sent_tokens_;
  absl::InlinedVector<bool, 64> sent_greedy_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SEQUENCE_SCORE_SEQUENCE_H_
