// SPDX-License-Identifier: Apache-2.0
#include "service/telemetry/trace_context.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::MatchesRegex;

constexpr char kTraceparent[] =
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr char kTraceId[] = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr char kParentId[] = "00f067aa0ba902b7";

TEST(TraceContextTest, TraceparentIsContinuedWithASpanOfItsOwn) {
  const auto context = ParseTraceparent(kTraceparent);
  ASSERT_TRUE(context.has_value());
  EXPECT_EQ(context->trace_id, kTraceId);
  EXPECT_EQ(context->parent_id, kParentId);
  EXPECT_TRUE(context->sampled);
  EXPECT_THAT(context->span_id, MatchesRegex("[0-9a-f]{16}"));
  EXPECT_NE(context->span_id, kParentId);
  EXPECT_EQ(context->ToTraceparent(),
            std::string("00-") + kTraceId + "-" + context->span_id + "-01");
}

TEST(TraceContextTest, OnlyTheLowestFlagIsRead) {
  const std::string rest(kTraceparent, sizeof(kTraceparent) - 3);
  for (const char* flags : {"01", "03", "0b", "ff"}) {
    EXPECT_TRUE(ParseTraceparent(rest + flags)->sampled) << flags;
  }
  for (const char* flags : {"00", "02", "0a", "fe"}) {
    const auto context = ParseTraceparent(rest + flags);
    EXPECT_FALSE(context->sampled) << flags;
    EXPECT_EQ(context->ToTraceparent().substr(52), "-00");
  }
}

TEST(TraceContextTest, MalformedTraceparentIsRefused) {
  for (const char* text :
       {"", "00",
        // The version that is forbidden, and one that is no number.
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        // Ids of zeros.
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        // Upper case and other characters.
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902bG-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
        // Fields of other sizes.
        "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
        // Version 00 has no more fields, and later ones are separated.
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x"}) {
    EXPECT_FALSE(ParseTraceparent(text).has_value()) << text;
  }
}

TEST(TraceContextTest, LaterVersionIsReadAsVersion00) {
  for (const char* text :
       {"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"}) {
    const auto context = ParseTraceparent(text);
    ASSERT_TRUE(context.has_value()) << text;
    EXPECT_EQ(context->trace_id, kTraceId);
    EXPECT_EQ(context->ToTraceparent().substr(0, 3), "00-");
  }
}

TEST(TraceContextTest, MalformedTraceparentBeginsATrace) {
  for (const bool sample_new : {false, true}) {
    const TraceContext context =
        TraceContextOf("00-junk", "vendor=1", sample_new);
    EXPECT_THAT(context.trace_id, MatchesRegex("[0-9a-f]{32}"));
    EXPECT_EQ(context.parent_id, "");
    EXPECT_EQ(context.state, "") << "it belongs to the traceparent";
    EXPECT_EQ(context.sampled, sample_new);
  }
}

TEST(TraceContextTest, StateIsKeptIfItIsShortAndPrintable) {
  EXPECT_EQ(TraceContextOf(kTraceparent, "a=1,b=2", false).state, "a=1,b=2");
  const std::string longest(kMaxTraceStateBytes, 'x');
  EXPECT_EQ(TraceContextOf(kTraceparent, longest, false).state, longest);
  EXPECT_EQ(TraceContextOf(kTraceparent, longest + "x", false).state, "");
  EXPECT_EQ(TraceContextOf(kTraceparent, "a=\x01", false).state, "");
}

TEST(TraceContextTest, RandomIdsDiffer) {
  EXPECT_NE(RandomHex(16), RandomHex(16));
  EXPECT_EQ(RandomHex(32).size(), 32u);
  EXPECT_NE(NewTrace(true).trace_id, NewTrace(true).trace_id);
}

}  // namespace
}  // namespace rwkvd
