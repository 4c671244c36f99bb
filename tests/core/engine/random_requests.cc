// SPDX-License-Identifier: Apache-2.0
#include "tests/core/engine/random_requests.h"

namespace rwkvd {
namespace {

// A prompt that often shares a prefix with others.
Tokens RandomPrompt(std::mt19937& random) {
  Tokens prompt(random() % 3 * 10, 5);
  for (const int32_t token : RandomTokens(random, random() % 4)) {
    prompt.push_back(token);
  }
  return prompt;
}

// Parameters without Mirostat, which excludes some of the others.
SamplingParams RandomChoices(std::mt19937& random) {
  SamplingParams params;
  params.temperature = random() % 3 * 0.5f;
  params.top_k = random() % 2 * (1 + random() % 8);
  params.top_p = random() % 2 == 0 ? 1 : 0.5f;
  params.tail_free_z = random() % 4 == 0 ? 0.9f : 1;
  params.typical_p = random() % 4 == 0 ? 0.9f : 1;
  params.min_p = random() % 4 == 0 ? 0.01f : 0;
  params.order = static_cast<SamplerOrder>(random() % 3);
  return params;
}

SamplingParams RandomMirostat(std::mt19937& random) {
  SamplingParams params;
  params.temperature = 0.5f + random() % 2;
  params.mirostat = {.version = 1 + static_cast<int32_t>(random() % 2),
                     .tau = 1.0f + random() % 3};
  return params;
}

SamplingParams RandomSampling(std::mt19937& random) {
  SamplingParams params =
      random() % 4 == 0 ? RandomMirostat(random) : RandomChoices(random);
  params.presence_penalty = random() % 2 * 0.5f;
  params.frequency_penalty = random() % 2 * 0.5f;
  params.penalty_decay = 0.9f;
  params.penalty_window = random() % 2 * 5;
  params.repetition_penalty = random() % 3 == 0 ? 1.5f : 1;
  params.repetition_window = random() % 2 * 7;
  params.penalty_scope = static_cast<PenaltyScope>(random() % 3);
  if (random() % 4 == 0) {
    params.sequence_repetition = {.flat_penalty = 0.5f, .min_length = 1};
  }
  params.exempt_blanks_and_digits = random() % 2 == 0;
  if (random() % 4 == 0) params.logit_bias = {{7, 1}, {2, -1}};
  if (random() % 4 == 0) params.banned_tokens = {5, 6};
  if (random() % 6 == 0) params.forced_tokens = {8, 1};
  params.never_end = random() % 3 == 0;
  params.seed = random();
  return params;
}

}  // namespace

Tokens RandomTokens(std::mt19937& random, int64_t size) {
  Tokens tokens(size);
  for (int32_t& token : tokens) token = random() % kVocabSize;
  return tokens;
}

GenerateRequest RandomGenerate(std::mt19937& random) {
  GenerateRequest request;
  request.prompt = RandomPrompt(random);
  request.max_tokens = 1 + random() % 20;
  request.sampling = RandomSampling(random);
  if (random() % 3 == 0) request.stop_strings = {"><1", "<7><", "2>"};
  if (random() % 4 == 0) request.stop_tokens = {3, 9};
  request.want_logprobs = true;
  request.top_logprobs = random() % 3;
  request.echo = random() % 4 == 0;
  request.echo_top_logprobs = random() % 3;
  request.want_sampled_logprobs = random() % 2 == 0;
  request.top_sampled_logprobs = random() % 3;
  request.use_state_cache = random() % 4 != 0;
  request.initial_state = random() % kInitialTokens.size();
  return request;
}

ScoreRequest RandomScore(std::mt19937& random) {
  ScoreRequest request;
  request.items.resize(1 + random() % 3);
  for (ScoreItem& item : request.items) {
    item.context = RandomPrompt(random);
    const int64_t n = 1 + random() % 20;
    for (int64_t i = 0; i < n; ++i) {
      item.continuations.push_back(RandomTokens(random, 1 + random() % 9));
    }
  }
  request.use_state_cache = random() % 4 != 0;
  request.initial_state = random() % kInitialTokens.size();
  return request;
}

std::vector<Request> RandomRequests(std::mt19937& random, int n) {
  std::vector<Request> requests;
  for (int i = 0; i < n; ++i) {
    if (random() % 3 == 0) {
      requests.emplace_back(RandomScore(random));
    } else {
      requests.emplace_back(RandomGenerate(random));
    }
  }
  return requests;
}

}  // namespace rwkvd
