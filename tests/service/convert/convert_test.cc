// SPDX-License-Identifier: Apache-2.0
#include "service/convert/convert.h"

#include <cmath>
#include <limits>
#include <string>

#include "core/text/load_tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class ConvertTest : public ::testing::Test {
 protected:
  ConvertTest() : bytes_(*LoadTokenizer("bytes")) {
    engine_.max_prompt_tokens = 8;
    engine_.max_generated_tokens = 100;
  }

  RequestLimits limits() const {
    return {*bytes_, 256, engine_, initial_states_};
  }

  std::string ErrorOf(const v1::GenerateRequest& request) const {
    const auto result = FromProto(request, limits());
    if (result.ok()) return "";
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(result.status().message());
  }
  std::string ErrorOf(const v1::ScoreRequest& request) const {
    const auto result = FromProto(request, limits());
    if (result.ok()) return "";
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(result.status().message());
  }

  const std::unique_ptr<const Tokenizer> bytes_;
  EngineOptions engine_;
  const std::vector<NamedState> initial_states_ = {
      {kOwnStateName, State()}, {"chat", State()}, {"code", State()}};
};

TEST_F(ConvertTest, AnEmptyRequestTakesTheDefaults) {
  const auto request = FromProto(v1::GenerateRequest(), limits());
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_TRUE(request->prompt.empty());
  EXPECT_EQ(request->max_tokens, 100);  // 256, but the server allows 100
  EXPECT_EQ(request->sampling.temperature, 1);
  EXPECT_EQ(request->sampling.top_k, 0);
  EXPECT_EQ(request->sampling.top_p, 1);
  EXPECT_EQ(request->sampling.presence_penalty, 0);
  EXPECT_EQ(request->sampling.frequency_penalty, 0);
  EXPECT_EQ(request->sampling.penalty_decay, 1);
  EXPECT_EQ(request->initial_state, 0);
  EXPECT_FALSE(request->want_logprobs);
  engine_.max_generated_tokens = 1000;
  EXPECT_EQ(FromProto(v1::GenerateRequest(), limits())->max_tokens, 256);
}

TEST_F(ConvertTest, EveryFieldArrives) {
  v1::GenerateRequest proto;
  proto.mutable_prompt()->set_text("hi");
  proto.set_max_tokens(7);
  v1::Sampling& sampling = *proto.mutable_sampling();
  sampling.set_temperature(0);
  sampling.set_top_k(3);
  sampling.set_top_p(0.5);
  sampling.set_presence_penalty(-1);
  sampling.set_frequency_penalty(2);
  sampling.set_penalty_decay(0.25);
  sampling.set_seed(1ull << 63);
  proto.add_stop_strings(std::string("\0\xff", 2));
  proto.add_stop_tokens(9);
  proto.set_top_logprobs(5);
  proto.set_drawn_logprobs(true);
  proto.set_top_drawn_logprobs(6);
  proto.set_initial_state("code");
  const auto request = FromProto(proto, limits());
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_THAT(request->prompt, ElementsAre('h', 'i'));
  EXPECT_EQ(request->max_tokens, 7);
  EXPECT_EQ(request->sampling.temperature, 0);
  EXPECT_EQ(request->sampling.top_k, 3);
  EXPECT_EQ(request->sampling.top_p, 0.5);
  EXPECT_EQ(request->sampling.presence_penalty, -1);
  EXPECT_EQ(request->sampling.frequency_penalty, 2);
  EXPECT_EQ(request->sampling.penalty_decay, 0.25);
  EXPECT_EQ(request->sampling.seed, 1ull << 63);
  EXPECT_THAT(request->stop_strings, ElementsAre(std::string("\0\xff", 2)));
  EXPECT_THAT(request->stop_tokens, ElementsAre(9));
  EXPECT_EQ(request->top_logprobs, 5);
  EXPECT_TRUE(request->want_sampled_logprobs);
  EXPECT_EQ(request->top_sampled_logprobs, 6);
  EXPECT_EQ(request->initial_state, 2);
  EXPECT_TRUE(request->want_logprobs);
}

TEST_F(ConvertTest, ThePromptComesInThreeForms) {
  v1::GenerateRequest proto;
  proto.mutable_prompt()->set_bytes(std::string("\0\xff", 2));
  EXPECT_THAT(FromProto(proto, limits())->prompt, ElementsAre(0, 255));
  proto.mutable_prompt()->mutable_tokens()->add_ids(42);
  EXPECT_THAT(FromProto(proto, limits())->prompt, ElementsAre(42));
  proto.mutable_prompt()->mutable_tokens()->clear_ids();
  EXPECT_THAT(FromProto(proto, limits())->prompt, ElementsAre());
}

TEST_F(ConvertTest, SamplesAreOneUnlessMoreAreAskedFor) {
  v1::GenerateRequest proto;
  EXPECT_EQ(SamplesFromProto(proto, limits())->drawn, 1);
  EXPECT_EQ(SamplesFromProto(proto, limits())->returned, 1);
  proto.set_best_of(4);
  EXPECT_EQ(SamplesFromProto(proto, limits())->drawn, 4);
  EXPECT_EQ(SamplesFromProto(proto, limits())->returned, 1);
  proto.set_n(5);
  EXPECT_EQ(SamplesFromProto(proto, limits()).status().message(),
            "best_of: 4 is less than n, 5");
  proto.clear_best_of();
  EXPECT_EQ(SamplesFromProto(proto, limits())->drawn, 5);
  for (const int n : {-1, 0, 129}) {
    proto.set_n(n);
    EXPECT_THAT(
        std::string(SamplesFromProto(proto, limits()).status().message()),
        HasSubstr("n: "));
    proto.set_n(1);
    proto.set_best_of(n);
    EXPECT_THAT(
        std::string(SamplesFromProto(proto, limits()).status().message()),
        HasSubstr("best_of: "));
    proto.clear_best_of();
  }
}

TEST_F(ConvertTest, GenerateErrorsNameTheField) {
  using Request = v1::GenerateRequest;
  const std::pair<void (*)(Request&), std::string> cases[] = {
      {[](Request& r) { r.mutable_prompt()->set_text("123456789"); }, "prompt"},
      {[](Request& r) {
         r.mutable_prompt()->mutable_tokens()->add_ids(0);
         r.mutable_prompt()->mutable_tokens()->add_ids(256);
       },
       "prompt.tokens[1]"},
      {[](Request& r) { r.mutable_prompt()->mutable_tokens()->add_ids(-1); },
       "prompt.tokens[0]"},
      {[](Request& r) { r.mutable_pin(); }, "pin.name"},
      {[](Request& r) {
         r.mutable_pin()->set_name("a");
         r.mutable_pin()->set_ttl_seconds(0);
       },
       "pin.ttl_seconds"},
      {[](Request& r) {
         r.mutable_pin()->set_name("a");
         r.mutable_pin()->set_ttl_seconds(kNan);
       },
       "pin.ttl_seconds"},
      {[](Request& r) { r.set_max_tokens(-5); }, "max_tokens"},
      {[](Request& r) { r.set_max_tokens(101); }, "max_tokens"},
      {[](Request& r) { r.mutable_sampling()->set_temperature(-0.1); },
       "sampling.temperature"},
      {[](Request& r) { r.mutable_sampling()->set_temperature(kNan); },
       "sampling.temperature"},
      {[](Request& r) { r.mutable_sampling()->set_top_k(-1); },
       "sampling.top_k"},
      {[](Request& r) { r.mutable_sampling()->set_top_p(0); },
       "sampling.top_p"},
      {[](Request& r) { r.mutable_sampling()->set_top_p(kNan); },
       "sampling.top_p"},
      {[](Request& r) { r.mutable_sampling()->set_presence_penalty(kNan); },
       "sampling.presence_penalty"},
      {[](Request& r) { r.mutable_sampling()->set_frequency_penalty(101); },
       "sampling.frequency_penalty"},
      {[](Request& r) { r.mutable_sampling()->set_penalty_decay(1.5); },
       "sampling.penalty_decay"},
      {[](Request& r) { r.add_stop_strings(""); }, "stop_strings[0]"},
      {[](Request& r) { r.add_stop_strings(std::string(1025, 'x')); },
       "stop_strings[0]"},
      {[](Request& r) {
         for (int i = 0; i < 17; ++i) r.add_stop_strings("x");
       },
       "stop_strings"},
      {[](Request& r) { r.add_stop_tokens(256); }, "stop_tokens[0]"},
      {[](Request& r) {
         for (int i = 0; i < 257; ++i) r.add_stop_tokens(1);
       },
       "stop_tokens"},
      {[](Request& r) { r.set_initial_state("none"); }, "initial_state"},
      {[](Request& r) { r.set_top_logprobs(-1); }, "top_logprobs"},
      {[](Request& r) { r.set_top_logprobs(33); }, "top_logprobs"},
      {[](Request& r) { r.set_top_drawn_logprobs(-1); }, "top_drawn_logprobs"},
      {[](Request& r) { r.set_top_drawn_logprobs(33); }, "top_drawn_logprobs"},
      {[](Request& r) {
         r.mutable_sampling()->set_preset(static_cast<v1::SamplingPreset>(99));
       },
       "sampling.preset"},
  };
  for (const auto& [spoil, field] : cases) {
    Request request;
    spoil(request);
    EXPECT_THAT(ErrorOf(request), HasSubstr(field + ":"));
  }
}

TEST_F(ConvertTest, ScoreErrorsNameTheField) {
  v1::ScoreRequest request;
  EXPECT_THAT(ErrorOf(request), HasSubstr("continuations"));
  request.add_continuations()->set_text("abc");
  EXPECT_EQ(ErrorOf(request), "");
  request.set_initial_state("none");
  EXPECT_THAT(ErrorOf(request), HasSubstr("initial_state: there is no"));
  request.set_initial_state("chat");
  EXPECT_EQ(FromProto(request, limits())->initial_state, 1);
  request.mutable_context()->set_text("123456789");
  EXPECT_THAT(ErrorOf(request), HasSubstr("context"));
  request.mutable_context()->set_text("123456");  // and 3 exceed 8
  EXPECT_THAT(ErrorOf(request), HasSubstr("continuations[0]"));
  request.mutable_context()->clear_input();
  request.add_continuations();
  EXPECT_THAT(ErrorOf(request), HasSubstr("continuations[1]"));
}

TEST_F(ConvertTest, ATokenHasTheLogprobsAskedFor) {
  TokenEvent event;
  event.id = 3;
  event.logprob = -2;
  v1::Delta delta;
  AppendToken(event, /*with_logprob=*/false, &delta);
  EXPECT_FALSE(delta.tokens(0).has_logprob());
  EXPECT_FALSE(delta.tokens(0).has_drawn_logprob());
  const TokenLogprob top[] = {{4, -0.5}}, top_sampled[] = {{3, 0}, {5, -9}};
  event.top = top;
  event.sampled_logprob = -0.25;
  event.top_sampled = top_sampled;
  AppendToken(event, /*with_logprob=*/true, &delta);
  const v1::Token& token = delta.tokens(1);
  EXPECT_EQ(token.logprob(), -2);
  ASSERT_EQ(token.top_logprobs_size(), 1);
  EXPECT_EQ(token.top_logprobs(0).id(), 4);
  EXPECT_EQ(token.drawn_logprob(), -0.25);
  ASSERT_EQ(token.top_drawn_logprobs_size(), 2);
  EXPECT_EQ(token.top_drawn_logprobs(1).id(), 5);
  EXPECT_EQ(token.top_drawn_logprobs(1).logprob(), -9);
}

TEST_F(ConvertTest, AFinishKeepsAllItSays) {
  FinishEvent event;
  event.reason = FinishReason::kStopString;
  event.stop_string = "\n";
  event.bytes = "\xff";
  event.text = "\xef\xbf\xbd";
  event.usage = {5, 2, 3};
  event.times.queue = absl::Seconds(1);
  event.times.prefill = absl::Seconds(2);
  event.times.decode = absl::Seconds(3);
  v1::Finish finish;
  ToProto(event, 99, &finish);
  EXPECT_EQ(finish.reason(), v1::FINISH_REASON_STOP_STRING);
  EXPECT_EQ(finish.stop_string(), "\n");
  EXPECT_EQ(finish.bytes(), "\xff");
  EXPECT_EQ(finish.text(), "\xef\xbf\xbd");
  EXPECT_EQ(finish.usage().prompt_tokens(), 5);
  EXPECT_EQ(finish.usage().cached_tokens(), 2);
  EXPECT_EQ(finish.usage().generated_tokens(), 3);
  EXPECT_EQ(finish.times().queue_seconds(), 1);
  EXPECT_EQ(finish.times().prefill_seconds(), 2);
  EXPECT_EQ(finish.times().decode_seconds(), 3);
  EXPECT_FALSE(finish.times().has_time_to_first_token_seconds());
  EXPECT_EQ(finish.seed(), 99u);
}

TEST_F(ConvertTest, EveryReasonHasItsName) {
  const std::pair<FinishReason, v1::FinishReason> cases[] = {
      {FinishReason::kStopString, v1::FINISH_REASON_STOP_STRING},
      {FinishReason::kStopToken, v1::FINISH_REASON_STOP_TOKEN},
      {FinishReason::kEndOfText, v1::FINISH_REASON_END_OF_TEXT},
      {FinishReason::kLength, v1::FINISH_REASON_LENGTH},
      {FinishReason::kCancelled, v1::FINISH_REASON_CANCELLED},
  };
  for (const auto& [from, to] : cases) {
    FinishEvent event;
    event.reason = from;
    v1::Finish finish;
    ToProto(event, 0, &finish);
    EXPECT_EQ(finish.reason(), to);
  }
}

}  // namespace
}  // namespace rwkvd
