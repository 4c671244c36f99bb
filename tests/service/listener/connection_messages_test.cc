// SPDX-License-Identifier: Apache-2.0
#include "service/listener/connection_messages.h"

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tests/service/listener/http2_frames.h"

namespace rwkvd {
namespace {

constexpr int64_t kMiB = 1 << 20;
constexpr int64_t kPrefix = 5;

// The prefix of a message of gRPC, and its body.
std::string Message(size_t size) {
  std::string message(1, '\0');
  http2::AppendNumber(static_cast<uint32_t>(size), &message);
  return message.append(size, 'm');
}

class ConnectionMessagesTest : public ::testing::Test {
 protected:
  // Sends `data` on a stream, received into a buffer of their own.
  void Send(uint32_t stream, const std::string& data) {
    messages_.BeginBytes(data);
    messages_.Receive(stream, data);
    // The next buffer is never taken for the continuation of this one.
    messages_.BeginBytes("");
  }

  ConnectionMessages messages_;
};

TEST_F(ConnectionMessagesTest, IncompleteMessageCountsUntilItIsComplete) {
  messages_.Open(1);
  const std::string message = Message(kMiB);
  Send(1, message.substr(0, kMiB));
  EXPECT_EQ(messages_.bytes(), kMiB);
  Send(1, message.substr(kMiB));
  EXPECT_EQ(messages_.bytes(), 0);
}

TEST_F(ConnectionMessagesTest, MessageMayArriveByteByByte) {
  messages_.Open(1);
  const std::string message = Message(300);
  for (size_t i = 0; i < message.size() - 1; ++i) {
    Send(1, message.substr(i, 1));
    ASSERT_EQ(messages_.bytes(), static_cast<int64_t>(i) + 1);
  }
  Send(1, message.substr(message.size() - 1));
  EXPECT_EQ(messages_.bytes(), 0);
}

TEST_F(ConnectionMessagesTest, EmptyMessageIsComplete) {
  messages_.Open(1);
  Send(1, Message(0));
  EXPECT_EQ(messages_.bytes(), 0);
}

TEST_F(ConnectionMessagesTest, StreamsAreAddedUp) {
  const std::string part = Message(1000).substr(0, 700);
  for (uint32_t stream = 1; stream < 20; stream += 2) {
    messages_.Open(stream);
    Send(stream, part);
  }
  EXPECT_EQ(messages_.bytes(), 7000);
  messages_.Close(3);
  EXPECT_EQ(messages_.bytes(), 6300);
  EXPECT_EQ(messages_.TakeChange(), 6300);
  messages_.Close(5);
  EXPECT_EQ(messages_.TakeChange(), -700);
  EXPECT_EQ(messages_.TakeChange(), 0);
}

TEST_F(ConnectionMessagesTest, OnlyStreamsThatGrpcOpensCount) {
  const std::string part = Message(1000).substr(0, 700);
  Send(1, part);  // not open
  messages_.Open(1 << 30);
  Send(1 << 30, part);  // no client's number
  EXPECT_EQ(messages_.bytes(), 0);
  messages_.Open(5);
  messages_.Open(3);  // out of order
  Send(3, part);
  EXPECT_EQ(messages_.bytes(), 0);
  Send(5, part);
  messages_.Open(5);  // trailers
  EXPECT_EQ(messages_.bytes(), 700);
  messages_.Close(5);
  Send(5, part);
  EXPECT_EQ(messages_.bytes(), 0);
}

TEST_F(ConnectionMessagesTest, StreamsAreBounded) {
  uint32_t stream = 1;
  for (size_t i = 0; i < ConnectionMessages::kMaxStreams; ++i, stream += 2) {
    messages_.Open(stream);
  }
  messages_.Open(stream);
  Send(stream, "a");
  EXPECT_EQ(messages_.bytes(), 0);
}

TEST_F(ConnectionMessagesTest, FirstMessageThatCannotBeCompletedIsDropped) {
  messages_.Open(1);
  Send(1, Message(1000).substr(0, 700));
  messages_.EndRequest(1);
  EXPECT_EQ(messages_.bytes(), 0);
}

// The server reads the first message; what follows waits.
TEST_F(ConnectionMessagesTest, LaterMessagesCountUntilTheyAreGrantedAgain) {
  messages_.Open(1);
  Send(1, Message(100) + Message(1000) + Message(2000));
  EXPECT_EQ(messages_.bytes(), 3000 + 2 * kPrefix);
  // First come the bytes of the first message.
  messages_.Grant(1, 100 + kPrefix);
  EXPECT_EQ(messages_.bytes(), 3000 + 2 * kPrefix);
  messages_.Grant(1, 1000 + kPrefix);
  EXPECT_EQ(messages_.bytes(), 2000 + kPrefix);
  messages_.EndRequest(1);
  EXPECT_EQ(messages_.bytes(), 2000 + kPrefix);
  messages_.Close(1);  // by the server
  EXPECT_EQ(messages_.bytes(), 0);
}

// The server reads message after message, as PutState does.
TEST_F(ConnectionMessagesTest, StreamThatIsReadNeverCountsMoreThanItsWindow) {
  constexpr int64_t kWindow = 64 << 10;
  messages_.Open(1);
  const std::string message = Message(10'000);
  int64_t ungranted = 0;
  for (int i = 0; i < 1000; ++i) {
    Send(1, message);
    ungranted += static_cast<int64_t>(message.size());
    if (ungranted + static_cast<int64_t>(message.size()) > kWindow) {
      messages_.Grant(1, ungranted);
      ungranted = 0;
    }
    ASSERT_LE(messages_.bytes(), kWindow);
  }
}

// gRPC grants a large message in advance, when the server waits for it.
TEST_F(ConnectionMessagesTest, LargeLaterMessageCountsWhileItIsIncomplete) {
  messages_.Open(1);
  Send(1, Message(0));
  const std::string message = Message(kMiB);
  Send(1, message.substr(0, 1000));
  EXPECT_EQ(messages_.bytes(), 1000);
  messages_.Grant(1, kMiB + 2 * kPrefix);  // also the first message
  EXPECT_EQ(messages_.bytes(), 1000);
  Send(1, message.substr(1000, 500'000));
  EXPECT_EQ(messages_.bytes(), 501'000);
  Send(1, message.substr(501'000));
  EXPECT_EQ(messages_.bytes(), 0);
}

// gRPC keeps the whole buffer for a few bytes in it.
TEST_F(ConnectionMessagesTest, BytesKeepTheBufferThatTheyAreIn) {
  messages_.Open(1);
  const std::string buffer(64 << 10, '\1');  // part of a large message
  messages_.BeginBytes(buffer);
  const auto receive = [&](size_t begin, size_t size) {
    messages_.Receive(1, absl::string_view(buffer).substr(begin, size));
  };
  receive(40'000, 10);
  EXPECT_EQ(messages_.bytes(), 40'010);
  receive(50'000, 10);
  EXPECT_EQ(messages_.bytes(), 50'010);
  messages_.BeginBytes("");  // the next buffer
  EXPECT_EQ(messages_.bytes(), 64 << 10);
  // Bytes of several streams in a buffer keep it once.
  ConnectionMessages streams;
  streams.BeginBytes(buffer);
  for (uint32_t stream = 1; stream < 9; stream += 2) {
    streams.Open(stream);
    streams.Receive(
        stream, absl::string_view(buffer).substr(stream / 2 * 16'384, 16'384));
  }
  EXPECT_EQ(streams.bytes(), 64 << 10);
  // The buffer was received in two parts.
  ConnectionMessages parts;
  parts.Open(1);
  parts.BeginBytes(absl::string_view(buffer).substr(0, 30'000));
  parts.BeginBytes(absl::string_view(buffer).substr(30'000));
  parts.Receive(1, absl::string_view(buffer).substr(40'000, 10));
  EXPECT_EQ(parts.bytes(), 40'010);
}

}  // namespace
}  // namespace rwkvd
