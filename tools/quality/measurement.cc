// SPDX-License-Identifier: Apache-2.0
#include "tools/quality/measurement.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"

namespace rwkvd {
namespace {

constexpr int64_t kPieceTokens = 128;  // per forward pass

using Tokens = absl::Span<const int32_t>;

// Runs a model over one text after another.
class Reader {
 public:
  Reader(const Model& model, ThreadPool& pool)
      : model_(model),
        workspace_(model.NewWorkspace(kPieceTokens, &pool)),
        state_(model.NewState()) {}

  void Restart() { state_ = model_.NewState(); }

  // Reads at most kPieceTokens tokens. Returns the logits after each of them,
  // [tokens, vocab], which stay valid until the next call.
  absl::Span<const float> Read(Tokens tokens) {
    logits_.resize(tokens.size() * model_.config().vocab_size);
    model_.Forward({{.tokens = tokens,
                     .state = &state_,
                     .wanted = LogitsWanted::kAll,
                     .logits = absl::MakeSpan(logits_)}},
                   workspace_);
    return logits_;
  }

 private:
  const Model& model_;
  Workspace workspace_;
  State state_;
  std::vector<float> logits_;
};

// The log-probabilities of all tokens of the vocabulary.
std::vector<double> LogProbabilities(absl::Span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - top);
  const double log_sum = top + std::log(sum);
  std::vector<double> result;
  result.reserve(logits.size());
  for (float logit : logits) result.push_back(logit - log_sum);
  return result;
}

double KlDivergence(absl::Span<const double> p, absl::Span<const double> q) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
  return sum;
}

int32_t Likeliest(absl::Span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) -
                              logits.begin());
}

// Calls fn(piece, first) for pieces of `tokens` that a Reader can read. `first`
// is the index of the piece's first token.
template <typename Function>
void ForEachPiece(Tokens tokens, Function fn) {
  for (size_t first = 0; first < tokens.size(); first += kPieceTokens) {
    fn(tokens.subspan(first, kPieceTokens), first);
  }
}

class Measurement {
 public:
  Measurement(const Model& reference, const Model& model,
              const QualityOptions& options, ThreadPool& pool)
      : options_(options),
        vocab_size_(model.config().vocab_size),
        reference_(reference, pool),
        model_(model, pool) {
    RWKVD_CHECK(reference.config().vocab_size == vocab_size_);
  }

  void Add(const Document& document) {
    if (document.tokens.size() < 2) return;
    Predict(document.tokens);
    quality_.num_bytes += document.num_bytes;
    const Tokens prompt =
        Tokens(document.tokens).subspan(0, options_.prompt_tokens);
    if (options_.greedy_tokens > 0) Follow(prompt, Continue(prompt));
  }

  Quality Finish() {
    RWKVD_CHECK(!divergences_.empty() && quality_.num_bytes > 0);
    Quality quality = quality_;
    quality.num_tokens = static_cast<int64_t>(divergences_.size());
    const double bytes = static_cast<double>(quality.num_bytes);
    quality.bits_per_byte = bits_ / bytes;
    quality.reference_bits_per_byte = reference_bits_ / bytes;
    std::sort(divergences_.begin(), divergences_.end());
    for (double divergence : divergences_) quality.mean_kl += divergence;
    quality.mean_kl /= static_cast<double>(quality.num_tokens);
    quality.kl_999 = divergences_[(divergences_.size() - 1) * 999 / 1000];
    if (texts_ == 0) return quality;
    quality.num_greedy_tokens = texts_ * options_.greedy_tokens;
    quality.greedy_agreement =
        static_cast<double>(agreed_) / quality.num_greedy_tokens;
    quality.greedy_prefix = static_cast<double>(prefixes_) / texts_;
    return quality;
  }

 private:
  absl::Span<const float> Row(absl::Span<const float> logits, size_t i) const {
    return logits.subspan(i * vocab_size_, vocab_size_);
  }

  void Predict(Tokens tokens) {
    reference_.Restart();
    model_.Restart();
    ForEachPiece(
        tokens.subspan(0, tokens.size() - 1), [&](Tokens piece, size_t first) {
          const auto expected = reference_.Read(piece);
          const auto logits = model_.Read(piece);
          for (size_t i = 0; i < piece.size(); ++i) {
            Compare(Row(expected, i), Row(logits, i), tokens[first + i + 1]);
          }
        });
  }

  // Compares the predictions of both models where the next token is `next`.
  void Compare(absl::Span<const float> expected, absl::Span<const float> logits,
               int32_t next) {
    const auto p = LogProbabilities(expected), q = LogProbabilities(logits);
    reference_bits_ -= p[next] / std::log(2.0);
    bits_ -= q[next] / std::log(2.0);
    divergences_.push_back(KlDivergence(p, q));
  }

  // The reference's greedy continuation.
  std::vector<int32_t> Continue(Tokens prompt) {
    reference_.Restart();
    int32_t next = 0;
    ForEachPiece(prompt, [&](Tokens piece, size_t) {
      next = Likeliest(Row(reference_.Read(piece), piece.size() - 1));
    });
    std::vector<int32_t> text = {next};
    while (static_cast<int64_t>(text.size()) < options_.greedy_tokens) {
      text.push_back(Likeliest(reference_.Read({text.back()})));
    }
    return text;
  }

  // Runs the model over the reference's continuation and counts where it would
  // have generated the same token.
  void Follow(Tokens prompt, const std::vector<int32_t>& text) {
    std::vector<int32_t> all(prompt.begin(), prompt.end());
    all.insert(all.end(), text.begin(), text.end() - 1);
    int64_t agreed = 0, prefix = -1, read = 0;
    model_.Restart();
    ForEachPiece(all, [&](Tokens piece, size_t first) {
      const auto logits = model_.Read(piece);
      for (size_t i = 0; i < piece.size(); ++i) {
        if (first + i + 1 < prompt.size()) continue;
        if (Likeliest(Row(logits, i)) == text[read++]) {
          ++agreed;
        } else if (prefix < 0) {
          prefix = read - 1;
        }
      }
    });
    agreed_ += agreed;
    prefixes_ += prefix < 0 ? read : prefix;
    ++texts_;
  }

  const QualityOptions options_;
  const int64_t vocab_size_;
  Reader reference_, model_;
  Quality quality_;
  std::vector<double> divergences_;  // one per predicted token
  double bits_ = 0, reference_bits_ = 0;
  // Of the greedy continuations.
  int64_t texts_ = 0, agreed_ = 0, prefixes_ = 0;
};

}  // namespace

Quality MeasureQuality(const Model& reference, const Model& model,
                       absl::Span<const Document> documents,
                       const QualityOptions& options, ThreadPool& pool) {
  Measurement measurement(reference, model, options, pool);
  for (const Document& document : documents) measurement.Add(document);
  return measurement.Finish();
}

}  // namespace rwkvd
