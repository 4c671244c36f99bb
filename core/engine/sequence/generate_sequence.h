// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SEQUENCE_GENERATE_SEQUENCE_H_
#define RWKVD_CORE_ENGINE_SEQUENCE_GENERATE_SEQUENCE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/engine/request.h"
#include "core/engine/sequence/sequence.h"
#include "core/engine/sink.h"
#include "core/engine/stop_matcher.h"
#include "core/sampling/params.h"
#include "core/sampling/sampler.h"
#include "core/text/tokenizer.h"
#include "core/text/utf8_stream.h"

namespace rwkvd {

// A request to continue a prompt: draws a token from each prediction, tells it,
// and reads it in turn. On request it first tells what the model predicted of
// the prompt, as it is read. Threads: see Sequence.
class GenerateSequence : public Sequence {
 public:
  // `request` is valid. `tokenizer`, `sink` and `counters` outlive it.
  // `vocabulary` says of the tokenizer's tokens which are drawn, and how.
  // `shared_prompt` is what it shares with other samples of the request, if
  // there are any.
  GenerateSequence(Id id, GenerateRequest request,
                   const SamplingVocabulary& vocabulary,
                   const Tokenizer* tokenizer, GenerateSink* sink,
                   EngineCounters* counters,
                   std::shared_ptr<SharedPrompt> shared_prompt = nullptr);

  StepDemand Next() const override;
  void Plan(int64_t num_tokens, LogitsBuffer* buffer,
            std::vector<Chunk>* chunks) override;
  int64_t NumLogitsTasks() const override;
  void ProcessLogits(int64_t task) override;
  bool SuspendsOnDrain() const override { return snapshot_on_drain_; }
  std::optional<FinishReason> Deliver(absl::Time now) override;

 protected:
  void SendFinish(FinishEvent event) override;

 private:
  // Takes up the request that was cut short at `start`.
  void Resume(const Snapshot& start);
  // What the end has left, but for what SendFinish flushes.
  std::shared_ptr<const Snapshot> MakeSnapshot(const FinishEvent& event);
  // Whether the next tokens read are of a prompt that is to be told.
  bool Echoes() const { return echo_ && !prompt_is_read(); }
  void ScorePromptToken(int64_t task);
  void ComputeLogprobs();
  void NoteToken(absl::Time now);
  // Whether the token drawn ends the answer, whatever the text.
  std::optional<FinishReason> EndingToken() const;
  // Adds what the token drawn releases; true if it completes a stop string.
  bool Release(TokenEvent* event);
  // Adds the bytes and text that are still withheld at the end.
  void FlushText(FinishEvent* event);

  const Tokenizer* const tokenizer_;
  GenerateSink* const sink_;
  const int64_t max_tokens_;
  const std::vector<int32_t> stop_tokens_;
  const bool want_logprobs_;
  const int64_t top_logprobs_;
  bool echo_ = false;
  size_t echo_begin_ = 0;  // in prompt(), after what came before the request
  const int64_t echo_top_logprobs_;
  const bool want_sampled_logprobs_;
  const int64_t top_sampled_logprobs_;
  const bool snapshot_at_end_;
  const bool snapshot_on_drain_;
  const uint64_t seed_;

  Sampler sampler_;
  StopMatcher stop_matcher_;
  Utf8Stream utf8_stream_;
  std::optional<int64_t> stop_string_;  // the one that hit
  std::optional<absl::Time> last_token_at_;

  // Of the prompt's tokens read in this step: those that become known, and the
  // logits that the last num_scored_ of these are scored by.
  std::vector<PromptEvent::Token> echoed_;
  int64_t num_scored_ = 0;
  absl::Span<const float> echo_logits_;  // [at least num_scored_, vocab_size]
  int64_t vocab_size_ = 0;               // of these

  // Of the token drawn last.
  int32_t sampled_token_ = 0;
  double logprob_ = 0;
  std::vector<TokenLogprob> top_;
  std::vector<int32_t> top_ids_;  // scratch
  DrawnLogprobs sampled_logprobs_;
  // What the views in events point to.
  std::string bytes_;
  std::string text_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SEQUENCE_GENERATE_SEQUENCE_H_
