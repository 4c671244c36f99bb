// SPDX-License-Identifier: Apache-2.0
#include "core/base/thread_placement.h"

#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

cpu_set_t Allowed(pid_t thread) {
  cpu_set_t allowed;
  EXPECT_EQ(sched_getaffinity(thread, sizeof(allowed), &allowed), 0);
  return allowed;
}

std::vector<int> Processors() {
  const cpu_set_t allowed = Allowed(0);
  std::vector<int> processors;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &allowed)) processors.push_back(i);
  }
  return processors;
}

void Pin(pid_t thread, int processor) {
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(processor, &only);
  ASSERT_EQ(sched_setaffinity(thread, sizeof(only), &only), 0);
}

// Thread number 1 of `placement`. Runs without sleeping until destruction.
class OtherThread {
 public:
  OtherThread(ThreadPlacement* placement, int processor) {
    thread_ = std::thread([this, placement, processor] {
      Pin(0, processor);
      placement->Register(1);
      id_ = gettid();
      registered_.Notify();
      while (!stop_) {
        if (record_) placement->RecordProcessor(1);
      }
    });
    registered_.WaitForNotification();
  }
  ~OtherThread() {
    stop_ = true;
    thread_.join();
  }

  pid_t id() const { return id_; }
  void KeepRecording() { record_ = true; }

 private:
  std::atomic<pid_t> id_{0};
  std::atomic<bool> record_{false}, stop_{false};
  absl::Notification registered_;
  std::thread thread_;
};

// The test runs as thread number 0, on the first processor.
class ThreadPlacementTest : public ::testing::Test {
 protected:
  void SetUp() override {
    before_ = Allowed(0);
    processors_ = Processors();
    if (processors_.size() < 2) GTEST_SKIP() << "needs two processors";
    Pin(0, processors_[0]);
    placement_.RecordProcessor(0);
  }
  void TearDown() override { sched_setaffinity(0, sizeof(before_), &before_); }

  ThreadPlacement placement_{2};
  std::vector<int> processors_;
  cpu_set_t before_;
};

TEST_F(ThreadPlacementTest, DetectsThreadsOnTheSameProcessor) {
  EXPECT_FALSE(placement_.IsShared(0));
  const OtherThread other(&placement_, processors_[0]);
  EXPECT_TRUE(placement_.SharesProcessor(0, 1));
  EXPECT_TRUE(placement_.IsShared(0));
}

TEST_F(ThreadPlacementTest, DetectsThreadsOnDifferentProcessors) {
  const OtherThread other(&placement_, processors_[1]);
  EXPECT_FALSE(placement_.SharesProcessor(0, 1));
  EXPECT_FALSE(placement_.IsShared(0));
}

TEST_F(ThreadPlacementTest, SpreadMovesAThreadAndKeepsItsAffinity) {
  OtherThread other(&placement_, processors_[0]);
  ASSERT_EQ(sched_setaffinity(other.id(), sizeof(before_), &before_), 0);
  ASSERT_TRUE(placement_.SharesProcessor(0, 1));
  placement_.Spread();
  EXPECT_FALSE(placement_.SharesProcessor(0, 1));
  const cpu_set_t after = Allowed(other.id());
  EXPECT_TRUE(CPU_EQUAL(&after, &before_));
}

TEST_F(ThreadPlacementTest, SpreadKeepsAThreadThatMayRunNowhereElse) {
  OtherThread other(&placement_, processors_[0]);
  placement_.Spread();
  EXPECT_TRUE(placement_.SharesProcessor(0, 1));
  const cpu_set_t after = Allowed(other.id());
  EXPECT_EQ(CPU_COUNT(&after), 1);
  EXPECT_TRUE(CPU_ISSET(processors_[0], &after));
}

TEST_F(ThreadPlacementTest, RecordsTheProcessorAfterAMove) {
  OtherThread other(&placement_, processors_[1]);
  other.KeepRecording();
  Pin(other.id(), processors_[0]);
  while (!placement_.SharesProcessor(0, 1)) placement_.RecordProcessor(0);
  Pin(other.id(), processors_[1]);
  while (placement_.SharesProcessor(0, 1)) placement_.RecordProcessor(0);
}

}  // namespace
}  // namespace rwkvd
