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

// A request to continue a prompt. Samples a token from each prediction, sends
// it, and processes it in the next step. In a step with a draft, it samples
// from the next predictions, too, as long as it samples the tokens of the
// draft: see Speculation. If the request has `echo`, it first sends the
// prompt's tokens with their predictions as they are prefilled. Threads: see
// Sequence.
class GenerateSequence : public Sequence {
 public:
  // `request` is valid. `tokenizer`, `sink` and `counters` outlive the
  // sequence. `vocabulary` describes the tokenizer's tokens to the sampler.
  // `shared_prompt` is null unless the request has several samples.
  GenerateSequence(Id id, GenerateRequest request,
                   const SamplingVocabulary& vocabulary,
                   const Tokenizer* tokenizer, GenerateSink* sink,
                   EngineCounters* counters,
                   std::shared_ptr<SharedPrompt> shared_prompt = nullptr);

  StepDemand NextDemand() const override;
  Drafter* drafter() override { return &drafter_; }
  int64_t GuessDraft(int64_t max_tokens) override;
  void Plan(int64_t num_tokens, LogitsBuffer* buffer,
            std::vector<Chunk>* chunks) override;
  int64_t NumLogitsTasks() const override;
  void ProcessLogits(int64_t task) override;
  bool SuspendsOnDrain() const override { return snapshot_on_drain_; }
  std::optional<FinishReason> SendResults(absl::Time now) override;

 protected:
  void SendFinish(FinishEvent event) override;

 private:
  // A sampled token, and what is reported about it.
  struct SampledToken {
    int32_t id = 0;
    double logprob = 0;
    std::vector<TokenLogprob> top;
    SampledLogprobs sampled;
  };

  // Restores the progress of the suspended request that `start` holds.
  void Resume(const Snapshot& start);
  // The snapshot that the request asked for. Leaves out the withheld text if
  // SendFinish is going to flush it.
  std::shared_ptr<const Snapshot> MakeSnapshot(const FinishEvent& event);
  // Whether the next tokens to process are prompt tokens to echo.
  bool Echoes() const { return echo_ && !is_prefilled(); }
  void ScorePromptToken(int64_t task);
  // Samples the token that `logits` predict, as the next one of sampled_.
  void Sample(absl::Span<const float> logits);
  void SendPrompt();
  // Sends a sampled token. Returns the reason to finish, if it is one.
  std::optional<FinishReason> SendToken(const SampledToken& token,
                                        absl::Time now);
  // Ends the draft of this step, if it has one, after `num_sent` tokens have
  // been sent.
  void SettleDraft(int64_t num_sent);
  void CountToken(absl::Time now);
  // Whether the token ends the output, whatever its text.
  std::optional<FinishReason> EndingToken(int32_t token) const;
  // Adds the bytes and text that the sampled token releases. Returns true if it
  // completes a stop string.
  bool ReleaseText(TokenEvent* event);
  // Adds the bytes and text that are still withheld at the end.
  void FlushText(FinishEvent* event);

  const Tokenizer* const tokenizer_;
  GenerateSink* const sink_;
  const int64_t max_tokens_;
  const int64_t min_tokens_;
  const std::vector<int32_t> stop_tokens_;
  const bool ignore_end_of_text_;
  const bool want_logprobs_;
  const int64_t top_logprobs_;
  bool echo_ = false;
  size_t echo_begin_ = 0;  // in prompt(): the first token of the request's own
  const int64_t echo_top_logprobs_;
  const bool want_sampled_logprobs_;
  const int64_t top_sampled_logprobs_;
  const bool snapshot_at_end_;
  const bool snapshot_on_drain_;
  const uint64_t seed_;

  Sampler sampler_;
  StopMatcher stop_matcher_;
  Utf8Stream utf8_stream_;
  std::optional<int64_t> stop_string_;  // index of the completed one
  std::optional<absl::Time> last_token_at_;

  // The prompt tokens to send after this step, and the logits that predict the
  // last num_scored_ of them.
  std::vector<PromptEvent::Token> echoed_;
  int64_t num_scored_ = 0;
  absl::Span<const float> echo_logits_;  // [at least num_scored_, vocab_size_]
  int64_t vocab_size_ = 0;

  Drafter drafter_;
  // The tokens sampled in this step: the first num_sampled_ elements. With a
  // draft, all but the last one are its tokens.
  std::vector<SampledToken> sampled_;
  size_t num_sampled_ = 0;
  std::vector<int32_t> top_ids_;  // scratch of Sample
  int32_t sampled_token_ = 0;     // the last one that was sent
  // Own the bytes that string views in events refer to.
  std::string bytes_;
  std::string text_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SEQUENCE_GENERATE_SEQUENCE_H_
