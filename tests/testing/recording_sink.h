// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_RECORDING_SINK_H_
#define RWKVD_TESTS_TESTING_RECORDING_SINK_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "core/engine/sink.h"

namespace rwkvd {

// Everything that a sink has received.
struct Recording {
  struct Token {
    int32_t id = 0;
    double logprob = 0;
    std::vector<std::pair<int32_t, double>> top;
    std::string bytes;
    std::string text;
    std::optional<double> sampled_logprob;
    std::vector<std::pair<int32_t, double>> top_sampled;
    friend bool operator==(const Token&, const Token&) = default;
  };
  struct Score {
    int64_t item = 0;
    int64_t continuation = 0;
    std::vector<std::pair<int32_t, double>> tokens;
    std::vector<bool> is_greedy;
    double logprob_sum = 0;
    friend bool operator==(const Score&, const Score&) = default;
  };

  struct PromptToken {
    int32_t id = 0;
    std::optional<double> logprob;
    std::vector<std::pair<int32_t, double>> top;
    friend bool operator==(const PromptToken&, const PromptToken&) = default;
  };

  std::vector<PromptToken> prompt;
  std::vector<Token> tokens;
  std::vector<Score> scores;  // in the order of the request
  // Bytes and text of the last event, and of all events.
  std::string last_bytes, last_text;
  std::string bytes, text;
  FinishReason reason = FinishReason::kCancelled;
  absl::Status status;
  std::string stop_string;
  Usage usage;
  Times times;
  std::shared_ptr<const Snapshot> snapshot;
  int num_finishes = 0;

  std::vector<int32_t> Ids() const;
  // The sum of the tokens' log-probabilities, added in order.
  double LogprobSum() const;
  // Whether everything is equal except for times and for the number of tokens
  // from the cache.
  bool HasSameAnswer(const Recording& other) const;
};

// Records all events. Aborts the process at an event after OnFinish.
// Thread-safe.
class RecordingSink : public GenerateSink, public ScoreSink {
 public:
  void OnPrompt(const PromptEvent& event) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnToken(const TokenEvent& event) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnScore(const ScoreEvent& event) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnFinish(const FinishEvent& event) override ABSL_LOCKS_EXCLUDED(mutex_);

  void WaitForTokens(int64_t n) ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for OnFinish and returns the complete recording.
  Recording Wait() ABSL_LOCKS_EXCLUDED(mutex_);
  // Destroys the recorded snapshot, as a call does that has delivered it.
  void Forget() ABSL_LOCKS_EXCLUDED(mutex_);
  // The recording so far.
  Recording Peek() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable absl::Mutex mutex_;
  Recording recording_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_TESTS_TESTING_RECORDING_SINK_H_
