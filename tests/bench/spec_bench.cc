// SPDX-License-Identifier: Apache-2.0
// Measures speculation, with random weights and scripted outputs:
//   rows: forward passes of one sequence over 1 to 9 tokens with all logits,
//     without and with the states after each token.
//   edit: an output that is an edited copy of its prompt.
//   random: an output of random tokens, about which nothing can be guessed.
//   misleading: random choices among few tokens, so that guesses are wrong.
// For each output it prints tokens per second without and with drafts, and
// their ratio: medians of alternating runs.
//
// Run with: bazel run -c opt //tests/bench:spec_bench -- [--weights=int8]
//   [--shape=rwkv7-0.4B] [--threads=2] [--max_draft_tokens=8] [--rounds=3]

#include <algorithm>
#include <cstdio>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "core/base/check.h"
#include "core/base/cpu_quota.h"
#include "core/engine/engine.h"
#include "core/text/tokenizer.h"
#include "tests/bench/bench_model.h"
#include "tests/bench/edited_text.h"
#include "tests/bench/random_model.h"
#include "tests/bench/scripted_model.h"
#include "tests/testing/fake_tokenizer.h"

ABSL_FLAG(std::string, shape, "rwkv7-0.4B", "Shape of the model.");
ABSL_FLAG(std::string, weights, "int8", "Type of the random weights.");
ABSL_FLAG(int, threads, 0, "Compute threads; 0 for all usable processors.");
ABSL_FLAG(int32_t, max_draft_tokens, 8, "As that of rwkvd.");
ABSL_FLAG(int, sequences, 1, "Requests at the same time.");
ABSL_FLAG(int, rounds, 3, "Runs of each kind.");

namespace rwkvd::bench {
namespace {

using Tokens = std::vector<int32_t>;

// A prompt, and the output that follows it.
struct Script {
  std::string name;
  Tokens prompt;
  Tokens output;
};

// Words and marks as tokens, by their first occurrence.
class WordTokens {
 public:
  void Append(absl::string_view text, Tokens* tokens) {
    for (absl::string_view word : absl::StrSplit(text, ' ')) {
      const bool ends = !word.empty() && absl::ascii_ispunct(word.back());
      tokens->push_back(Id(word.substr(0, word.size() - (ends ? 1 : 0))));
      if (ends) tokens->push_back(Id(word.substr(word.size() - 1)));
    }
  }

 private:
  int32_t Id(absl::string_view word) {
    return ids_.try_emplace(std::string(word), 1 + ids_.size()).first->second;
  }

  std::map<std::string, int32_t> ids_;
};

Script EditScript() {
  Script script{"edit", {}, {}};
  WordTokens words;
  for (const EditedSentence& sentence : kEditedReport) {
    words.Append(sentence.before, &script.prompt);
    words.Append(sentence.after == kSame ? sentence.before : sentence.after,
                 &script.output);
  }
  return script;
}

Script RandomScript(const std::string& name, int32_t num_ids) {
  std::mt19937 random(1);
  Script script{name, Tokens(300), Tokens(400)};
  for (int32_t& id : script.prompt) id = 1 + random() % num_ids;
  for (int32_t& id : script.output) id = 1 + random() % num_ids;
  return script;
}

// Waits for the end, and keeps the times.
class TimingSink : public GenerateSink {
 public:
  void OnPrompt(const PromptEvent&) override {}
  void OnToken(const TokenEvent& event) override { ids_.push_back(event.id); }
  void OnFinish(const FinishEvent& event) override {
    event_ = event;
    done_.Notify();
  }
  const FinishEvent& Wait() {
    done_.WaitForNotification();
    return event_;
  }
  const Tokens& ids() const { return ids_; }

 private:
  Tokens ids_;
  FinishEvent event_;
  absl::Notification done_;
};

// Generates the output. Returns its tokens per second, of all sequences.
double Run(const Model& model, const Script& script, int32_t max_draft_tokens,
           ThreadPool* pool, int64_t* accepted) {
  Tokens all = script.prompt;
  all.insert(all.end(), script.output.begin(), script.output.end());
  const ScriptedModel scripted(&model, all);
  const FakeTokenizer tokenizer(
      FakeTokenizer::Numbers(model.config().vocab_size));
  EngineOptions options;
  options.max_draft_tokens = max_draft_tokens;
  options.state_cache_bytes = 0;
  Engine engine(options, &scripted, &tokenizer, pool);
  std::vector<TimingSink> sinks(absl::GetFlag(FLAGS_sequences));
  for (TimingSink& sink : sinks) {
    GenerateRequest request;
    request.prompt = script.prompt;
    request.max_tokens = static_cast<int64_t>(script.output.size());
    request.sampling.temperature = 0;
    RWKVD_CHECK(engine.Submit(request, &sink).ok());
  }
  double rate = 0;
  for (TimingSink& sink : sinks) {
    const FinishEvent& event = sink.Wait();
    RWKVD_CHECK(sink.ids() == script.output);
    *accepted += event.usage.accepted_draft_tokens;
    rate += static_cast<double>(script.output.size() - 1) /
            absl::ToDoubleSeconds(event.times.decode);
  }
  return rate;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void MeasureScript(const Model& model, const Script& script, ThreadPool* pool) {
  std::vector<double> plain, drafting;
  int64_t unused = 0, accepted = 0;
  for (int i = 0; i < absl::GetFlag(FLAGS_rounds); ++i) {
    plain.push_back(Run(model, script, 0, pool, &unused));
    drafting.push_back(Run(model, script, absl::GetFlag(FLAGS_max_draft_tokens),
                           pool, &accepted));
  }
  std::printf("%-12s %8.1f %8.1f tokens/s  x %.3f  %5.1f %% accepted\n",
              script.name.c_str(), Median(plain), Median(drafting),
              Median(drafting) / Median(plain),
              100.0 * static_cast<double>(accepted) /
                  static_cast<double>(script.output.size() * drafting.size() *
                                      absl::GetFlag(FLAGS_sequences)));
  std::fflush(stdout);
}

// The milliseconds of a pass of one sequence over `num_tokens` tokens.
double RowsMilliseconds(const Model& model, int64_t num_tokens,
                        bool with_inner_states, ThreadPool* pool) {
  constexpr int kPasses = 21;
  Workspace workspace = model.NewWorkspace(num_tokens, pool);
  State state = model.NewState();
  std::vector<State> inner(with_inner_states ? num_tokens - 1 : 0, state);
  Tokens tokens(num_tokens, 5);
  std::vector<float> logits(num_tokens * model.config().vocab_size);
  std::vector<double> times;
  for (int i = 0; i < kPasses; ++i) {
    const absl::Time begin = absl::Now();
    model.Forward({{.tokens = tokens,
                    .state = &state,
                    .wanted = LogitsWanted::kAll,
                    .logits = absl::MakeSpan(logits),
                    .inner_states = absl::MakeSpan(inner)}},
                  workspace);
    times.push_back(absl::ToDoubleMilliseconds(absl::Now() - begin));
  }
  return Median(times);
}

int Main() {
  const Shape* const shape = FindShape(absl::GetFlag(FLAGS_shape));
  if (shape == nullptr || !IsWeightName(absl::GetFlag(FLAGS_weights))) {
    std::fprintf(stderr, "spec_bench: unknown --shape or --weights\n");
    return 1;
  }
  const int threads = absl::GetFlag(FLAGS_threads) > 0
                          ? absl::GetFlag(FLAGS_threads)
                          : UsableCpus();
  ThreadPool pool(threads);
  const BenchModel bench = LoadBenchModel(
      "bench", RandomModelPath(*shape, 0, absl::GetFlag(FLAGS_weights)));
  const Model& model = *bench.model;
  std::printf("%s %s, %d threads, states of %.1f MB\n", shape->name,
              absl::GetFlag(FLAGS_weights).c_str(), threads,
              static_cast<double>(model.NewState().bytes()) / 1e6);
  RowsMilliseconds(model, 1, false, &pool);  // reads the file
  for (const int64_t rows : {1, 2, 3, 4, 5, 7, 9}) {
    std::printf("rows %d: %.2f ms, with inner states %.2f ms\n",
                static_cast<int>(rows),
                RowsMilliseconds(model, rows, false, &pool),
                RowsMilliseconds(model, rows, true, &pool));
    std::fflush(stdout);
  }
  MeasureScript(model, EditScript(), &pool);
  MeasureScript(model, RandomScript("random", 65000), &pool);
  MeasureScript(model, RandomScript("misleading", 12), &pool);
  return 0;
}

}  // namespace
}  // namespace rwkvd::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return rwkvd::bench::Main();
}
