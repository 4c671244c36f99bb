// SPDX-License-Identifier: Apache-2.0
#include "service/metrics/scrape_connections.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ScrapeConnectionsTest : public testing::Test {
 protected:
  void Add(int fd, const char* peer, int at = 0) {
    connections_.Add(fd, peer, ScrapeConnections::Time(seconds(at)));
  }

  std::vector<int> closed_;
  ScrapeConnections connections_{
      {.connections = 4, .answers = 2, .age = seconds(10)},
      [this](int fd) { closed_.push_back(fd); }};
};

TEST_F(ScrapeConnectionsTest, NothingIsClosedWithinTheLimits) {
  for (int fd = 1; fd <= 4; ++fd) Add(fd, "a");
  connections_.AddAnswer(1);
  connections_.AddAnswer(2);
  EXPECT_THAT(closed_, IsEmpty());
  EXPECT_EQ(connections_.num_open(), 4);
  EXPECT_EQ(connections_.num_answers(), 2);
}

TEST_F(ScrapeConnectionsTest, OldestConnectionOfPeerWithMostIsClosed) {
  Add(1, "prometheus");
  for (int fd = 2; fd <= 6; ++fd) Add(fd, "idle");
  EXPECT_THAT(closed_, ElementsAre(2, 3));
  EXPECT_EQ(connections_.num_open(), 4);
  // Also if they are not gone yet when the next one arrives.
  Add(7, "other");
  EXPECT_THAT(closed_, ElementsAre(2, 3, 4));
}

TEST_F(ScrapeConnectionsTest, NewestConnectionIsKept) {
  for (int fd = 1; fd <= 4; ++fd) Add(fd, "a");
  Add(5, "a");
  EXPECT_THAT(closed_, ElementsAre(1));
}

TEST_F(ScrapeConnectionsTest, OldConnectionsAreClosed) {
  Add(1, "a", 0);
  Add(2, "b", 5);
  Add(3, "c", 10);
  EXPECT_THAT(closed_, IsEmpty());
  Add(4, "d", 11);
  EXPECT_THAT(closed_, ElementsAre(1));
  Add(5, "e", 21);
  EXPECT_THAT(closed_, ElementsAre(1, 2, 3));
}

TEST_F(ScrapeConnectionsTest, OldestAnswerOfPeerWithMostIsClosed) {
  Add(1, "prometheus");
  Add(2, "slow");
  Add(3, "slow");
  connections_.AddAnswer(1);
  connections_.AddAnswer(2);
  connections_.AddAnswer(3);
  EXPECT_THAT(closed_, ElementsAre(2));
  EXPECT_EQ(connections_.num_answers(), 2);
}

TEST_F(ScrapeConnectionsTest, NewestAnswerIsKept) {
  for (int fd = 1; fd <= 3; ++fd) Add(fd, "a");
  connections_.AddAnswer(2);
  connections_.AddAnswer(3);
  connections_.AddAnswer(1);  // of the oldest connection
  EXPECT_THAT(closed_, ElementsAre(2));
}

TEST_F(ScrapeConnectionsTest, RemovedConnectionsDoNotCount) {
  for (int fd = 1; fd <= 4; ++fd) Add(fd, "a");
  connections_.AddAnswer(1);
  connections_.Remove(1);
  connections_.Remove(1);
  EXPECT_EQ(connections_.num_answers(), 0);
  Add(1, "a");  // the descriptor is used again
  EXPECT_THAT(closed_, IsEmpty());
  Add(5, "a");
  EXPECT_THAT(closed_, ElementsAre(2));
  connections_.Remove(2);
  EXPECT_EQ(connections_.num_open(), 4);
}

}  // namespace
}  // namespace rwkvd
