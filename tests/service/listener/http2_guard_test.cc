// SPDX-License-Identifier: Apache-2.0
#include "service/listener/http2_guard.h"

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/service/listener/http2_frames.h"

namespace rwkvd {
namespace {

using http2::CallFields;
using http2::Frame;

constexpr absl::Duration kStart = absl::Hours(1);
constexpr int kManyFrames = 1'000'000;

class Http2GuardTest : public ::testing::Test {
 protected:
  // The beginning of a connection.
  static void Establish(Http2Guard& guard) {
    EXPECT_EQ(guard.Inspect(http2::kPreface, kStart), Http2Abuse::kNone);
    EXPECT_EQ(
        guard.Inspect(Frame(http2::kSettings, 0, 0) +
                          Frame(http2::kSettings, http2::kAcknowledgment, 0),
                      kStart),
        Http2Abuse::kNone);
  }

  // Sends a frame until that is an abuse. Returns the number of frames.
  static int CountUntilAbuse(Http2Guard& guard, const std::string& frame,
                             Http2Abuse expected) {
    for (int i = 1; i < kManyFrames; ++i) {
      const Http2Abuse abuse = guard.Inspect(frame, kStart);
      if (abuse == Http2Abuse::kNone) continue;
      EXPECT_EQ(abuse, expected);
      return i;
    }
    return kManyFrames;
  }

  ResetLimits resets_;
  ConnectionMessages messages_;
};

TEST_F(Http2GuardTest, NormalCallsPassByteByByte) {
  Http2Guard guard(resets_.Of("peer", kStart), &messages_);
  std::string bytes(http2::kPreface);
  bytes += Frame(http2::kSettings, 0, 0, std::string(6, '\0'));
  for (uint32_t stream = 1; stream < 200; stream += 2) {
    bytes += Frame(http2::kHeaders, http2::kEndHeaders, stream,
                   CallFields("/rwkv.v1.RwkvService/Generate"));
    bytes += Frame(http2::kData, http2::kEndStream, stream, "message");
    bytes += Frame(http2::kWindowUpdate, 0, 0, std::string(4, 1));
  }
  for (const char byte : bytes) {
    ASSERT_EQ(guard.Inspect({&byte, 1}, kStart), Http2Abuse::kNone);
  }
}

TEST_F(Http2GuardTest, PayloadIsNotTakenForFrames) {
  Http2Guard guard(resets_.Of("peer", kStart), &messages_);
  Establish(guard);
  std::string resets;
  for (int i = 0; i < 10000; ++i) resets += http2::Reset(1);
  EXPECT_EQ(guard.Inspect(Frame(http2::kData, 0, 1, resets), kStart),
            Http2Abuse::kNone);
}

TEST_F(Http2GuardTest, ReportsTheDataOfMessages) {
  Http2Guard guard(resets_.Of("peer", kStart), &messages_);
  Establish(guard);
  const std::string fields = CallFields("/rwkv.v1.RwkvService/Generate");
  // One of two bytes of a message, after a prefix of five.
  const std::string part("\0\0\0\0\2a", 6);
  guard.Inspect(Frame(http2::kHeaders, http2::kEndHeaders, 1, fields), kStart);
  EXPECT_EQ(messages_.bytes(), 0);
  guard.Inspect(Frame(http2::kData, 0, 1, part), kStart);
  EXPECT_GE(messages_.bytes(), 6);
  guard.Inspect(Frame(http2::kData, http2::kEndStream, 1, "b"), kStart);
  EXPECT_EQ(messages_.bytes(), 0);
  guard.Inspect(Frame(http2::kHeaders, http2::kEndHeaders, 3, fields) +
                    Frame(http2::kData, 0, 3, part),
                kStart);
  EXPECT_GE(messages_.bytes(), 6);
  guard.Inspect(http2::Reset(3), kStart);
  EXPECT_EQ(messages_.bytes(), 0);
  guard.Inspect(Frame(http2::kHeaders, http2::kEndHeaders, 5, fields) +
                    Frame(http2::kData, http2::kEndStream, 5, part),
                kStart);
  EXPECT_EQ(messages_.bytes(), 0);
}

TEST_F(Http2GuardTest, OtherProtocolsAreLeftToGrpc) {
  Http2Guard guard(resets_.Of("peer", kStart), &messages_);
  EXPECT_EQ(guard.Inspect("GET /metrics HTTP/1.1\r\n\r\n", kStart),
            Http2Abuse::kNone);
  EXPECT_EQ(guard.Inspect(std::string(1 << 20, '\x09'), kStart),
            Http2Abuse::kNone);
}

TEST_F(Http2GuardTest, HeadersWithoutEndAreAnAbuse) {
  Http2Guard guard(resets_.Of("peer", kStart), &messages_);
  Establish(guard);
  ASSERT_EQ(guard.Inspect(Frame(http2::kHeaders, 0, 1, "x"), kStart),
            Http2Abuse::kNone);
  const std::string part(1 << 10, '\x80');
  EXPECT_EQ(CountUntilAbuse(guard, Frame(http2::kContinuation, 0, 1, part),
                            Http2Abuse::kHeaders),
            Http2Guard::kMaxHeaderBlockBytes / (1 << 10));
}

TEST_F(Http2GuardTest, OneFrameWithTooManyHeadersIsAnAbuse) {
  Http2Guard guard(resets_.Of("peer", kStart), &messages_);
  Establish(guard);
  // The beginning of the frame is enough.
  const std::string frame =
      Frame(http2::kHeaders, http2::kEndHeaders, 1,
            std::string(Http2Guard::kMaxHeaderBlockBytes + 1, 'a'));
  EXPECT_EQ(guard.Inspect(frame.substr(0, 9), kStart), Http2Abuse::kHeaders);
}

TEST_F(Http2GuardTest, HeaderBlocksAreLimitedOneByOneOnceEstablished) {
  Http2Guard guard(resets_.Of("peer", kStart), &messages_);
  Establish(guard);
  const std::string block(30 << 10, 'a');
  for (uint32_t stream = 1; stream < 100; stream += 2) {
    EXPECT_EQ(
        guard.Inspect(Frame(http2::kHeaders, http2::kEndHeaders, stream, block),
                      kStart),
        Http2Abuse::kNone);
  }
}

TEST_F(Http2GuardTest, EmptyContinuationsAreAnAbuse) {
  Http2Guard guard(resets_.Of("peer", kStart), &messages_);
  Establish(guard);
  ASSERT_EQ(guard.Inspect(Frame(http2::kHeaders, 0, 1, "x"), kStart),
            Http2Abuse::kNone);
  EXPECT_LT(CountUntilAbuse(guard, Frame(http2::kContinuation, 0, 1),
                            Http2Abuse::kControlFrames),
            kManyFrames);
}

TEST_F(Http2GuardTest, ManyStreamsBeforeTheAcknowledgmentAreAnAbuse) {
  Http2Guard guard(resets_.Of("peer", kStart), &messages_);
  guard.Inspect(http2::kPreface, kStart);
  EXPECT_EQ(
      CountUntilAbuse(guard, Frame(http2::kHeaders, http2::kEndHeaders, 1, "x"),
                      Http2Abuse::kNoSettings),
      Http2Guard::kMaxEarlyStreams + 1);
}

TEST_F(Http2GuardTest, LongHeadersBeforeTheAcknowledgmentAreAnAbuse) {
  Http2Guard guard(resets_.Of("peer", kStart), &messages_);
  guard.Inspect(http2::kPreface, kStart);
  const std::string block(16 << 10, 'a');
  EXPECT_EQ(CountUntilAbuse(
                guard, Frame(http2::kHeaders, http2::kEndHeaders, 1, block),
                Http2Abuse::kNoSettings),
            Http2Guard::kMaxEarlyHeaderBytes / (16 << 10) + 1);
}

TEST_F(Http2GuardTest, RapidResetsAreAnAbuse) {
  Http2Guard guard(resets_.Of("peer", kStart), &messages_);
  Establish(guard);
  const std::string frames =
      Frame(http2::kHeaders, http2::kEndHeaders, 1, "x") + http2::Reset(1);
  const int count = CountUntilAbuse(guard, frames, Http2Abuse::kResets);
  EXPECT_GT(count, 100);
  EXPECT_LT(count, 10'000);
}

TEST_F(Http2GuardTest, ConnectionsOfAPeerShareTheLimitOfResets) {
  const std::string reset = http2::Reset(1);
  Http2Guard first(resets_.Of("peer", kStart), &messages_);
  Establish(first);
  CountUntilAbuse(first, reset, Http2Abuse::kResets);
  Http2Guard second(resets_.Of("peer", kStart), &messages_);
  Establish(second);
  EXPECT_EQ(second.Inspect(reset, kStart), Http2Abuse::kResets);
  // A while later, some are allowed again.
  EXPECT_EQ(second.Inspect(reset, kStart + absl::Seconds(1)),
            Http2Abuse::kNone);
}

TEST_F(Http2GuardTest, ControlFramesAreLimited) {
  for (const uint8_t type : {http2::kPing, http2::kSettings, http2::kData,
                             uint8_t{2}, uint8_t{200}}) {
    Http2Guard guard(resets_.Of("peer", kStart), &messages_);
    Establish(guard);
    EXPECT_LT(
        CountUntilAbuse(guard, Frame(type, 0, 0), Http2Abuse::kControlFrames),
        kManyFrames)
        << int{type};
  }
}

TEST(ResetLimitsTest, UnknownPeersHaveLimitsOfTheirOwn) {
  ResetLimits limits;
  EXPECT_NE(limits.Of("", kStart), limits.Of("", kStart));
  EXPECT_NE(limits.Of("a", kStart), limits.Of("b", kStart));
  EXPECT_EQ(limits.Of("a", kStart), limits.Of("a", kStart));
}

TEST(ResetLimitsTest, LimitsAreKeptWhileTheyMatter) {
  ResetLimits limits;
  const std::weak_ptr<RateLimit> unused = limits.Of("unused", kStart);
  const std::shared_ptr<RateLimit> open = limits.Of("open", kStart);
  const std::weak_ptr<RateLimit> abused = limits.Of("abused", kStart);
  while (abused.lock()->Take(kStart)) {
  }
  for (int i = 0; i < 5000; ++i) limits.Of(absl::StrCat(i), kStart);
  EXPECT_TRUE(unused.expired());
  EXPECT_EQ(limits.Of("open", kStart), open);
  ASSERT_FALSE(abused.expired());
  EXPECT_FALSE(limits.Of("abused", kStart)->Take(kStart));
}

TEST(RateLimitTest, AllowsABurstAndThenARate) {
  RateLimit limit(2, 10);
  EXPECT_TRUE(limit.Take(kStart));
  EXPECT_FALSE(limit.IsFull(kStart));
  EXPECT_TRUE(limit.Take(kStart));
  EXPECT_FALSE(limit.Take(kStart));
  EXPECT_FALSE(limit.Take(kStart + absl::Milliseconds(50)));
  EXPECT_TRUE(limit.Take(kStart + absl::Milliseconds(160)));
  EXPECT_TRUE(limit.IsFull(kStart + absl::Seconds(1)));
}

}  // namespace
}  // namespace rwkvd
