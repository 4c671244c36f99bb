// SPDX-License-Identifier: Apache-2.0
#include "service/telemetry/call_spans.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;

constexpr uint64_t kReceived = 1'000'000'000;  // nanoseconds
constexpr uint64_t kMilli = 1'000'000;

// A call of a client that records its own span.
CallTrace GenerateTrace() {
  CallTrace call;
  call.identity.request_id = "order-1";
  call.identity.trace = *ParseTraceparent(
      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  call.identity.trace.state = "vendor=1";
  call.rpc = "rwkv.v1.RwkvService/Generate";
  call.peer = "ipv4:10.0.0.1:4711";
  call.model = "demo";
  call.operation = "text_completion";
  call.status = "OK";
  call.received = absl::FromUnixNanos(kReceived);
  call.took = absl::Milliseconds(700);
  call.first_write = absl::Milliseconds(40);
  call.settings = GenerationSettings();
  call.settings->max_tokens = 7;
  call.settings->temperature = 0.5;
  call.usage = {10, 4, 7};
  call.times = {absl::Milliseconds(1), absl::Milliseconds(20),
                absl::Milliseconds(300), absl::Milliseconds(25)};
  call.finish_reasons = {"length", "stop_string"};
  return call;
}

std::map<std::string, otlp::AnyValue> AttributesOf(const otlp::Span& span) {
  std::map<std::string, otlp::AnyValue> attributes;
  for (const otlp::KeyValue& attribute : span.attributes()) {
    EXPECT_FALSE(attributes.contains(attribute.key())) << attribute.key();
    attributes[attribute.key()] = attribute.value();
  }
  return attributes;
}

std::vector<std::string> NamesOf(const otlp::ScopeSpans& spans) {
  std::vector<std::string> names;
  for (const otlp::Span& span : spans.spans()) names.push_back(span.name());
  return names;
}

TEST(CallSpansTest, CallIsAChildOfTheClientsSpan) {
  const CallTrace call = GenerateTrace();
  const otlp::ScopeSpans spans = SpansOf(call);
  const otlp::Span& span = spans.spans(0);
  EXPECT_EQ(span.name(), "rwkv.v1.RwkvService/Generate");
  EXPECT_EQ(span.kind(), otlp::Span::SPAN_KIND_SERVER);
  EXPECT_EQ(absl::BytesToHexString(span.trace_id()),
            "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(absl::BytesToHexString(span.parent_span_id()), "00f067aa0ba902b7");
  EXPECT_EQ(absl::BytesToHexString(span.span_id()),
            call.identity.trace.span_id);
  EXPECT_EQ(span.trace_state(), "vendor=1");
  EXPECT_EQ(span.flags(), 0x301u);
  EXPECT_EQ(span.start_time_unix_nano(), kReceived);
  EXPECT_EQ(span.end_time_unix_nano(), kReceived + 700 * kMilli);
  EXPECT_EQ(span.status().code(), otlp::Status::STATUS_CODE_UNSET);
}

TEST(CallSpansTest, PhasesAreChildrenOfTheCallOneAfterTheOther) {
  const otlp::ScopeSpans spans = SpansOf(GenerateTrace());
  EXPECT_THAT(NamesOf(spans),
              ElementsAre("rwkv.v1.RwkvService/Generate", "queue", "prefill",
                          "decode", "write"));
  const uint64_t times[][2] = {{0, 700}, {0, 1}, {1, 21}, {21, 321}, {40, 700}};
  for (int i = 1; i < spans.spans_size(); ++i) {
    const otlp::Span& span = spans.spans(i);
    EXPECT_EQ(span.kind(), otlp::Span::SPAN_KIND_INTERNAL);
    EXPECT_EQ(span.trace_id(), spans.spans(0).trace_id());
    EXPECT_EQ(span.parent_span_id(), spans.spans(0).span_id());
    EXPECT_EQ(span.span_id().size(), 8u);
    EXPECT_NE(span.span_id(), spans.spans(i - 1).span_id());
    EXPECT_EQ(span.flags(), 0x101u);
    EXPECT_EQ(span.start_time_unix_nano(), kReceived + times[i][0] * kMilli);
    EXPECT_EQ(span.end_time_unix_nano(), kReceived + times[i][1] * kMilli);
  }
}

TEST(CallSpansTest, AttributesFollowTheConventions) {
  const otlp::ScopeSpans spans = SpansOf(GenerateTrace());
  auto attributes = AttributesOf(spans.spans(0));
  EXPECT_EQ(attributes["rpc.system"].string_value(), "grpc");
  EXPECT_EQ(attributes["rpc.service"].string_value(), "rwkv.v1.RwkvService");
  EXPECT_EQ(attributes["rpc.method"].string_value(), "Generate");
  EXPECT_EQ(attributes["rpc.grpc.status_code"].int_value(), 0);
  EXPECT_EQ(attributes["rwkv.request_id"].string_value(), "order-1");
  EXPECT_EQ(attributes["network.peer.address"].string_value(),
            "ipv4:10.0.0.1:4711");
  EXPECT_EQ(attributes["gen_ai.operation.name"].string_value(),
            "text_completion");
  EXPECT_EQ(attributes["gen_ai.provider.name"].string_value(), "rwkvd");
  EXPECT_EQ(attributes["gen_ai.request.model"].string_value(), "demo");
  EXPECT_EQ(attributes["gen_ai.response.model"].string_value(), "demo");
  EXPECT_EQ(attributes["gen_ai.request.max_tokens"].int_value(), 7);
  EXPECT_EQ(attributes["gen_ai.request.temperature"].double_value(), 0.5);
  EXPECT_EQ(attributes["gen_ai.usage.input_tokens"].int_value(), 10);
  EXPECT_EQ(attributes["gen_ai.usage.cache_read.input_tokens"].int_value(), 4);
  EXPECT_EQ(attributes["gen_ai.usage.output_tokens"].int_value(), 7);
  const otlp::ArrayValue& reasons =
      attributes["gen_ai.response.finish_reasons"].array_value();
  ASSERT_EQ(reasons.values_size(), 2);
  EXPECT_EQ(reasons.values(0).string_value(), "length");
  EXPECT_EQ(reasons.values(1).string_value(), "stop_string");
  EXPECT_FALSE(attributes.contains("error.type"));
}

TEST(CallSpansTest, RefusedCallHasAnErrorAndOnlyThePhasesItReached) {
  CallTrace call = GenerateTrace();
  call.status = "RESOURCE_EXHAUSTED";
  call.status_code = 8;
  call.usage = Usage();
  call.times = Times{absl::Milliseconds(5)};
  call.first_write.reset();
  const otlp::ScopeSpans spans = SpansOf(call);
  EXPECT_THAT(NamesOf(spans),
              ElementsAre("rwkv.v1.RwkvService/Generate", "queue"));
  EXPECT_EQ(spans.spans(0).status().code(), otlp::Status::STATUS_CODE_ERROR);
  auto attributes = AttributesOf(spans.spans(0));
  EXPECT_EQ(attributes["error.type"].string_value(), "RESOURCE_EXHAUSTED");
  EXPECT_EQ(attributes["rpc.grpc.status_code"].int_value(), 8);
}

TEST(CallSpansTest, CallThatDoesNotRunTheModelHasNoGenAiAttributes) {
  CallTrace call;
  call.identity.trace = NewTrace(true);
  call.rpc = "rwkv.v1.RwkvService/Tokenize";
  const otlp::ScopeSpans spans = SpansOf(call);
  ASSERT_EQ(spans.spans_size(), 1);
  EXPECT_EQ(spans.spans(0).parent_span_id(), "") << "it begins the trace";
  EXPECT_EQ(spans.spans(0).flags(), 0x101u);
  for (const auto& [key, value] : AttributesOf(spans.spans(0))) {
    EXPECT_NE(key.substr(0, 7), "gen_ai.") << key;
  }
}

}  // namespace
}  // namespace rwkvd
