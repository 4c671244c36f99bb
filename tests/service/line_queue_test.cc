// SPDX-License-Identifier: Apache-2.0
#include "service/line_queue.h"

#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A reader of lines that may stop reading.
struct Reader {
  absl::Notification has_begun, may_go_on;
  std::string text;  // used by the thread of the queue, or after it
  std::vector<int64_t> dropped;

  void Write(absl::string_view bytes) {
    if (!has_begun.HasBeenNotified()) has_begun.Notify();
    may_go_on.WaitForNotification();
    text.append(bytes.data(), bytes.size());
  }
};

TEST(LineQueueTest, WritesAllLinesInOrderBeforeItEnds) {
  Reader reader;
  reader.may_go_on.Notify();
  std::string expected;
  {
    LineQueue queue([&](absl::string_view bytes) { reader.Write(bytes); },
                    [&](int64_t n) { reader.dropped.push_back(n); });
    for (int i = 0; i < 1000; ++i) {
      const std::string line = "line " + std::to_string(i) + "\n";
      queue.Push(line);
      expected += line;
    }
  }
  EXPECT_EQ(reader.text, expected);
  EXPECT_THAT(reader.dropped, IsEmpty());
}

TEST(LineQueueTest, ReaderThatStopsLosesLinesAndNobodyWaits) {
  Reader reader;
  const std::string line(1023, 'x');
  constexpr int kFull = LineQueue::kMaxBytes / 1024;
  {
    LineQueue queue([&](absl::string_view bytes) { reader.Write(bytes); },
                    [&](int64_t n) { reader.dropped.push_back(n); });
    queue.Push("first\n");
    reader.has_begun.WaitForNotification();  // and does not return
    for (int i = 0; i < kFull + 3; ++i) queue.Push(line + "\n");
    EXPECT_EQ(queue.num_dropped(), 3);
    reader.may_go_on.Notify();
    queue.Flush(absl::InfiniteDuration());
    queue.Push("last\n");
  }
  EXPECT_EQ(reader.text.size(), 6 + kFull * 1024 + 5);
  EXPECT_EQ(reader.text.substr(reader.text.size() - 5), "last\n");
  EXPECT_THAT(reader.dropped, ElementsAre(3));
}

TEST(LineQueueTest, FlushGivesUpOnAReaderThatStops) {
  Reader reader;
  LineQueue queue([&](absl::string_view bytes) { reader.Write(bytes); },
                  [](int64_t) {});
  queue.Push("first\n");
  queue.Flush(absl::Milliseconds(1));  // returns
  EXPECT_EQ(queue.num_dropped(), 0);
  reader.may_go_on.Notify();
}

TEST(LineQueueTest, FlushReturnsOnceLinesAreWritten) {
  Reader reader;
  reader.may_go_on.Notify();
  LineQueue queue([&](absl::string_view bytes) { reader.Write(bytes); },
                  [](int64_t) {});
  queue.Push("a\n");
  queue.Push("b\n");
  queue.Flush(absl::InfiniteDuration());
  EXPECT_EQ(reader.text, "a\nb\n");
}

}  // namespace
}  // namespace rwkvd
