// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SCORING_H_
#define RWKVD_CORE_ENGINE_SCORING_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/time/time.h"
#include "core/engine/request.h"
#include "core/engine/sequence.h"

namespace rwkvd {

// A request for log-probabilities: reads the context once, then every
// continuation from a copy of the state after it, several in one step where
// they are short. Continuations are told in order. Threads: see Sequence.
class Scoring : public Sequence {
 public:
  // `request` is valid. `sink` and `counters` outlive it.
  Scoring(Id id, ScoreRequest request, TokenSink* sink,
          EngineCounters* counters);

  int64_t TokensNeeded() const override;
  Demand Next() const override;
  void Plan(int64_t num_tokens, LogitsBuffer* buffer,
            std::vector<Chunk>* chunks) override;
  int64_t NumDigests() const override;
  void Digest(int64_t piece) override;
  std::optional<FinishReason> Deliver(absl::Time now) override;

 private:
  struct Scored {
    TokenLogprob token;
    bool is_greedy = false;
  };

  // A continuation being read. All of its tokens but the last are read; each
  // predicts the next one, and the context predicts the first.
  struct Lane {
    size_t continuation = 0;
    size_t read = 0;
    State state;
    absl::InlinedVector<TokenLogprob, 4> tokens;
    absl::InlinedVector<bool, 4> is_greedy;
  };

  // A prediction of this step, and the place of the token that it is to score.
  struct Row {
    absl::Span<const float> logits;
    Lane* lane = nullptr;
    size_t position = 0;
  };

  // Forward passes that a continuation needs, in tokens.
  size_t TokensToRead(size_t continuation) const;
  void ScoreFirstTokens();
  void OpenLane();
  void PlanLane(Lane* lane, size_t num_tokens, LogitsBuffer* buffer,
                std::vector<Chunk>* chunks);
  // Tells the next continuation; false if it is not complete yet.
  bool DeliverNext();
  void Tell(size_t continuation, absl::Span<const TokenLogprob> tokens,
            absl::Span<const bool> is_greedy);

  const std::vector<std::vector<int32_t>> continuations_;
  std::vector<Scored> first_;  // of each continuation; empty before the context
  std::deque<Lane> lanes_;     // in order; only the last may be partly read
  std::vector<State> spare_states_;
  std::vector<Row> rows_;
  size_t next_lane_ = 0;  // the first continuation that may need a lane yet
  size_t next_told_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SCORING_H_
