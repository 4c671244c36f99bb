// SPDX-License-Identifier: Apache-2.0
// The conversion of Generate and Score messages, together with the engine's
// validation and the names of fields in errors.

#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/engine/validate.h"
#include "core/text/load_tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/convert/generate_request.h"
#include "service/convert/score_request.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

namespace v1 = ::rwkv::v1;

constexpr int64_t kVocabSize = 256;

class ConvertTest : public ::testing::Test {
 protected:
  ConvertTest() : bytes_(*LoadTokenizer("bytes")) {
    engine_.max_prompt_tokens = 8;
    engine_.max_generated_tokens = 100;
  }

  RequestLimits limits() const { return {*bytes_, engine_, initial_states_}; }

  // Converts a valid message.
  GenerateRequest RequestOf(const v1::GenerateRequest& proto) const {
    const auto input = FromProto(proto, limits());
    EXPECT_TRUE(input.ok()) << input.status();
    return input->request;
  }

  absl::Status StatusOf(const v1::GenerateRequest& proto) const {
    const auto input = FromProto(proto, limits());
    if (!input.ok()) return input.status();
    absl::Status status = Validate(input->request, engine_, kVocabSize);
    if (status.ok()) {
      status = ValidateSamples("samples", input->samples.generated, engine_);
    }
    return NameGenerateField(status, input->samples, input->num_stop_strings);
  }
  absl::Status StatusOf(const v1::ScoreRequest& proto) const {
    const auto request = FromProto(proto, limits());
    if (!request.ok()) return request.status();
    return NameScoreField(Validate(*request, engine_, kVocabSize),
                          !proto.items().empty());
  }
  // Converts a part of a document that is alone in its request.
  absl::Status StatusOf(const v1::Input& part) const {
    const auto tokens = PartFromProto(part, limits());
    if (!tokens.ok()) return tokens.status();
    ScoreRequest request;
    request.items[0].continuations = {*tokens};
    return NamePartField(Validate(request, engine_, kVocabSize));
  }

  template <typename Proto>
  std::string ErrorOf(const Proto& proto) const {
    const absl::Status status = StatusOf(proto);
    if (status.ok()) return "";
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    // Programs get the same field as people.
    EXPECT_EQ(FieldOf(status).value_or(""),
              status.message().substr(0, status.message().find(": ")));
    EXPECT_TRUE(ReasonOf(status).has_value()) << status;
    return std::string(status.message());
  }

  const std::unique_ptr<const Tokenizer> bytes_;
  EngineOptions engine_;
  const std::vector<NamedState> initial_states_ = {
      {kOwnStateName, State()}, {"chat", State()}, {"code", State()}};
};

TEST_F(ConvertTest, EmptyRequestHasTheDefaults) {
  const GenerateRequest request = RequestOf(v1::GenerateRequest());
  EXPECT_TRUE(request.prompt.empty());
  EXPECT_EQ(request.max_tokens, 100);  // 256, but the server allows 100
  EXPECT_EQ(request.sampling.temperature, 1);
  EXPECT_EQ(request.sampling.top_k, 0);
  EXPECT_EQ(request.sampling.top_p, 1);
  EXPECT_EQ(request.sampling.presence_penalty, 0);
  EXPECT_EQ(request.sampling.frequency_penalty, 0);
  EXPECT_EQ(request.sampling.penalty_decay, 1);
  EXPECT_EQ(request.initial_state, 0);
  EXPECT_FALSE(request.want_logprobs);
  engine_.max_generated_tokens = 1000;
  EXPECT_EQ(RequestOf(v1::GenerateRequest()).max_tokens, 256);
}

TEST_F(ConvertTest, EveryFieldIsConverted) {
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
  proto.add_stop_texts("caf\xc3\xa9");
  proto.add_stop_strings(std::string("\0\xff", 2));
  proto.add_stop_tokens(9);
  proto.set_top_logprobs(5);
  proto.set_drawn_logprobs(true);
  proto.set_top_drawn_logprobs(6);
  proto.set_initial_state("code");
  const GenerateRequest request = RequestOf(proto);
  EXPECT_THAT(request.prompt, ElementsAre('h', 'i'));
  EXPECT_EQ(request.max_tokens, 7);
  EXPECT_EQ(request.sampling.temperature, 0);
  EXPECT_EQ(request.sampling.top_k, 3);
  EXPECT_EQ(request.sampling.top_p, 0.5);
  EXPECT_EQ(request.sampling.presence_penalty, -1);
  EXPECT_EQ(request.sampling.frequency_penalty, 2);
  EXPECT_EQ(request.sampling.penalty_decay, 0.25);
  EXPECT_EQ(request.sampling.seed, 1ull << 63);
  EXPECT_THAT(request.stop_strings,
              ElementsAre(std::string("\0\xff", 2), "caf\xc3\xa9"));
  EXPECT_THAT(request.stop_tokens, ElementsAre(9));
  EXPECT_EQ(request.top_logprobs, 5);
  EXPECT_TRUE(request.want_sampled_logprobs);
  EXPECT_EQ(request.top_sampled_logprobs, 6);
  EXPECT_EQ(request.initial_state, 2);
  EXPECT_TRUE(request.want_logprobs);
}

TEST_F(ConvertTest, PromptHasThreeForms) {
  v1::GenerateRequest proto;
  proto.mutable_prompt()->set_bytes(std::string("\0\xff", 2));
  EXPECT_THAT(RequestOf(proto).prompt, ElementsAre(0, 255));
  proto.mutable_prompt()->mutable_tokens()->add_ids(42);
  EXPECT_THAT(RequestOf(proto).prompt, ElementsAre(42));
  proto.mutable_prompt()->mutable_tokens()->clear_ids();
  EXPECT_THAT(RequestOf(proto).prompt, ElementsAre());
}

TEST_F(ConvertTest, OneSampleIsTheDefault) {
  v1::GenerateRequest proto;
  const auto samples = [&] { return FromProto(proto, limits())->samples; };
  EXPECT_EQ(samples().generated, 1);
  EXPECT_EQ(samples().returned, 1);
  proto.set_best_of(4);
  EXPECT_EQ(samples().generated, 4);
  EXPECT_EQ(samples().returned, 1);
  proto.set_n(5);
  EXPECT_EQ(ErrorOf(proto), "best_of: 4 is less than n, 5");
  proto.clear_best_of();
  EXPECT_EQ(samples().generated, 5);
  for (const int n : {-1, 0, 129}) {
    proto.set_n(n);
    EXPECT_THAT(ErrorOf(proto), HasSubstr("n: "));
    proto.set_n(1);
    proto.set_best_of(n);
    EXPECT_THAT(ErrorOf(proto), HasSubstr("best_of: "));
    proto.clear_best_of();
  }
}

TEST_F(ConvertTest, BestOfComputesLogprobsWithoutReturningThem) {
  v1::GenerateRequest proto;
  proto.set_best_of(2);
  const auto input = FromProto(proto, limits());
  ASSERT_TRUE(input.ok()) << input.status();
  EXPECT_TRUE(input->request.want_logprobs);
  EXPECT_FALSE(input->delivery.logprobs);
  proto.set_echo(true);
  EXPECT_EQ(ErrorOf(proto), "echo: not together with best_of");
}

TEST_F(ConvertTest, StateFieldsAreConverted) {
  v1::GenerateRequest proto;
  proto.set_state_handle("some handle");
  proto.mutable_return_state()->set_at_end(true);
  proto.mutable_return_state()->set_as_handle(true);
  proto.mutable_return_state()->set_ttl_seconds(7);
  const auto input = FromProto(proto, limits());
  ASSERT_TRUE(input.ok()) << input.status();
  EXPECT_EQ(input->state_handle, "some handle");
  EXPECT_EQ(input->request.start, nullptr);
  EXPECT_TRUE(input->request.snapshot_at_end);
  EXPECT_FALSE(input->request.snapshot_on_drain);
  EXPECT_TRUE(input->delivery.state_as_handle);
  EXPECT_EQ(input->delivery.time_to_live, absl::Seconds(7));
}

TEST_F(ConvertTest, GenerateErrorsNameTheField) {
  using Request = v1::GenerateRequest;
  const std::pair<void (*)(Request&), std::string> cases[] = {
      {[](Request& r) { r.mutable_prompt()->set_text("123456789"); }, "prompt"},
      {[](Request& r) {
         r.mutable_prompt()->mutable_tokens()->add_ids(0);
         r.mutable_prompt()->mutable_tokens()->add_ids(256);
       },
       "prompt.tokens.ids[1]"},
      {[](Request& r) { r.mutable_prompt()->mutable_tokens()->add_ids(-1); },
       "prompt.tokens.ids[0]"},
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
      {[](Request& r) {
         for (int i = 0; i < 17; ++i) r.add_stop_texts("x");
       },
       "stop_texts"},
      {[](Request& r) {
         r.add_stop_strings("x");
         r.add_stop_texts("y");
         r.add_stop_texts("");
       },
       "stop_texts[1]"},
      {[](Request& r) {
         r.add_stop_strings("");
         r.add_stop_texts("y");
       },
       "stop_strings[0]"},
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
  request.mutable_context()->set_text(
      "123456");  // 6 tokens and 3 exceed the maximum of 8
  EXPECT_THAT(ErrorOf(request), HasSubstr("continuations[0]"));
  request.mutable_context()->clear_input();
  request.add_continuations();
  EXPECT_THAT(ErrorOf(request), HasSubstr("continuations[1]"));
}

TEST_F(ConvertTest, PartErrorsNameTheField) {
  v1::Input part;
  EXPECT_TRUE(PartFromProto(part, limits())->empty());
  part.set_text("1234567");
  EXPECT_EQ(ErrorOf(part), "");
  part.set_text("12345678");
  EXPECT_EQ(ErrorOf(part), "part: has more than 7 tokens, must have 0 to 7");
  part.mutable_tokens()->add_ids(1);
  part.mutable_tokens()->add_ids(256);
  EXPECT_EQ(ErrorOf(part), "part.tokens.ids[1]: token 256 is not in [0, 256)");
}

}  // namespace
}  // namespace rwkvd
