// SPDX-License-Identifier: Apache-2.0
#include "tests/load/load_requests.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"

namespace rwkvd::testing {
namespace {

namespace v1 = ::rwkv::v1;

constexpr int kDocumentTokens = 700;
constexpr int kMaxPromptTokens = 400;
constexpr int kMaxAnswerTokens = 120;

int64_t Draw(std::mt19937_64& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

// Prompts are pieces of one document. Some begin at the same position, so that
// they hit the state cache.
void SetPrompt(const std::vector<int32_t>& document, std::mt19937_64& random,
               v1::GenerateRequest* request) {
  const int64_t begin = Draw(random, 0, 3) * 100;
  const int64_t size = Draw(random, 1, kMaxPromptTokens);
  request->mutable_prompt()->mutable_tokens()->mutable_ids()->Assign(
      document.begin() + begin, document.begin() + begin + size);
}

void SetSampling(std::mt19937_64& random, v1::Sampling* sampling) {
  sampling->set_seed(random());
  switch (Draw(random, 0, 3)) {
    case 0:
      sampling->set_temperature(0);
      break;
    case 1:
      sampling->set_top_p(0.7f);
      break;
    case 2:
      sampling->set_top_k(20);
      sampling->set_temperature(1.3f);
      break;
    default:
      sampling->set_presence_penalty(0.5f);
      sampling->set_frequency_penalty(0.3f);
      sampling->set_penalty_decay(0.99f);
  }
}

}  // namespace

std::vector<v1::GenerateRequest> LoadRequests(const v1::GetModelResponse& model,
                                              int count, uint64_t seed) {
  std::mt19937_64 random(seed);
  const int64_t num_ids = std::min(model.vocab_size(), model.tokenizer_size());
  std::vector<int32_t> document;
  for (int i = 0; i < kDocumentTokens; ++i) {
    document.push_back(static_cast<int32_t>(Draw(random, 1, num_ids - 1)));
  }
  std::vector<v1::GenerateRequest> requests(static_cast<size_t>(count));
  for (v1::GenerateRequest& request : requests) {
    SetPrompt(document, random, &request);
    SetSampling(random, request.mutable_sampling());
    request.set_max_tokens(
        static_cast<int32_t>(Draw(random, 1, kMaxAnswerTokens)));
    // Large messages for slow readers.
    if (Draw(random, 0, 3) == 0) request.set_top_logprobs(32);
    if (Draw(random, 0, 3) == 0) {
      request.add_stop_strings(" the ");
      request.add_stop_strings("e");
    }
  }
  return requests;
}

const char* NameOf(Behavior::Kind kind) {
  switch (kind) {
    case Behavior::Kind::kPlain:
      return "plain";
    case Behavior::Kind::kSlow:
      return "slow";
    case Behavior::Kind::kCancel:
      return "cancel";
    case Behavior::Kind::kDeadline:
      return "deadline";
    case Behavior::Kind::kCut:
      return "cut";
    case Behavior::Kind::kRefused:
      return "refused";
  }
  RWKVD_CHECK(false);
}

Behavior RandomBehavior(std::mt19937_64& random) {
  using Kind = Behavior::Kind;
  switch (Draw(random, 0, 19) / 3) {
    case 0:
      return {Kind::kSlow};
    case 1:
      return {Kind::kCancel, Draw(random, 0, 40)};
    case 2:
      // From one millisecond to ten seconds, log-uniformly.
      return {Kind::kDeadline, static_cast<int64_t>(std::pow(
                                   10.0, Draw(random, 0, 400) * 0.01))};
    case 3:
      return {Kind::kCut, Draw(random, 0, 4000), Draw(random, 0, 1) == 0};
    default:
      return {Kind::kPlain};
  }
}

}  // namespace rwkvd::testing
