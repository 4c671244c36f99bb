// SPDX-License-Identifier: Apache-2.0
#include "service/calls/call_monitor.h"

#include <grpcpp/server_context.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/retry_after.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/auth/quotas.h"
#include "service/calls/stream_slots.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

// A call that drops its charges when it is given up.
class FakeCall final : public MonitoredCall {
 public:
  FakeCall(CallMonitor* monitor, grpc::CallbackServerContext* context,
           std::shared_ptr<ByteBudget> share)
      : MonitoredCall(monitor, context, std::move(share)) {}

  // Returns false if the call was given up.
  bool Hold(CallMonitor& monitor, int64_t bytes) {
    auto charge = monitor.Charge(this, bytes);
    if (!charge.has_value()) return false;
    absl::MutexLock lock(&mutex_);
    charges_.push_back(*std::move(charge));
    return true;
  }
  bool TryHold(CallMonitor& monitor, int64_t bytes) {
    return monitor.TryCharge(this, bytes).has_value();
  }
  absl::Status why() {
    absl::MutexLock lock(&mutex_);
    return why_;
  }
  using MonitoredCall::ClientResponded;
  using MonitoredCall::Done;
  using MonitoredCall::WaitForClientToRead;
  using MonitoredCall::WaitForClientToSend;

 private:
  bool GiveUp(GiveUpReason, const absl::Status& why) override {
    absl::MutexLock lock(&mutex_);
    charges_.clear();
    why_ = why;
    return true;
  }

  absl::Mutex mutex_;
  std::vector<ResponseCharge> charges_ ABSL_GUARDED_BY(mutex_);
  absl::Status why_ ABSL_GUARDED_BY(mutex_);
};

class CallMonitorTest : public ::testing::Test {
 protected:
  static constexpr int64_t kLimit = 1000;

  explicit CallMonitorTest(CallMonitor::Options options = {})
      : monitor_(options, budget_, &metrics_) {}
  ~CallMonitorTest() override {
    for (FakeCall* call : calls_) call->Done();
  }
  FakeCall* NewCall(std::shared_ptr<ByteBudget> share = nullptr) {
    return calls_.emplace_back(
        new FakeCall(&monitor_, &context_, std::move(share)));
  }

  const std::shared_ptr<ByteBudget> budget_ =
      std::make_shared<ByteBudget>(kLimit);
  Metrics metrics_;
  CallMonitor monitor_;
  grpc::CallbackServerContext context_;
  std::vector<FakeCall*> calls_;
};

TEST_F(CallMonitorTest, CallThatHoldsMostIsGivenUpFirst) {
  FakeCall* const small = NewCall();
  FakeCall* const large = NewCall();
  ASSERT_TRUE(small->Hold(monitor_, 300));
  ASSERT_TRUE(large->Hold(monitor_, 500));
  EXPECT_TRUE(small->Hold(monitor_, 190));
  EXPECT_EQ(large->why().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(large->why().message(), HasSubstr("500"));
  EXPECT_TRUE(small->why().ok());
  EXPECT_FALSE(large->Hold(monitor_, 1));
  EXPECT_EQ(budget_->used(), 490);
}

TEST_F(CallMonitorTest, CallThatAsksForMostIsGivenUpItself) {
  FakeCall* const small = NewCall();
  FakeCall* const large = NewCall();
  ASSERT_TRUE(small->Hold(monitor_, 300));
  ASSERT_TRUE(large->Hold(monitor_, 400));
  EXPECT_FALSE(large->Hold(monitor_, 400));
  EXPECT_EQ(large->why().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(small->why().ok());
  EXPECT_EQ(budget_->used(), 300);
}

TEST_F(CallMonitorTest, TryChargeGivesUpNoCall) {
  FakeCall* const holder = NewCall();
  ASSERT_TRUE(holder->Hold(monitor_, 800));
  EXPECT_FALSE(NewCall()->TryHold(monitor_, 300));
  EXPECT_TRUE(holder->why().ok());
}

// The rest is for calls that cannot wait, such as streams.
TEST_F(CallMonitorTest, TryChargeLeavesTheRestOfTheBudget) {
  FakeCall* const holder = NewCall();
  EXPECT_TRUE(holder->TryHold(monitor_, kLimit));  // and returns it
  ASSERT_TRUE(holder->Hold(monitor_, 800));
  EXPECT_TRUE(NewCall()->TryHold(monitor_, 75));
  EXPECT_FALSE(NewCall()->TryHold(monitor_, 76));
  EXPECT_TRUE(NewCall()->Hold(monitor_, 76));
}

TEST_F(CallMonitorTest, ReadersAreCallsThatWaitToBeRead) {
  EXPECT_FALSE(monitor_.HasCalls());
  FakeCall* const call = NewCall();
  EXPECT_TRUE(monitor_.HasCalls());
  EXPECT_FALSE(monitor_.HasReaders());
  call->WaitForClientToSend();
  EXPECT_FALSE(monitor_.HasReaders());
  call->ClientResponded();
  call->WaitForClientToRead();
  EXPECT_TRUE(monitor_.HasReaders());
  monitor_.GiveUp(call, GiveUpReason::kUnread);
  EXPECT_FALSE(monitor_.HasReaders());
}

class MakeRoomTest : public CallMonitorTest {
 protected:
  MakeRoomTest() : CallMonitorTest({.room_after = absl::Nanoseconds(1)}) {}
};

TEST_F(MakeRoomTest, GivesUpTheWaitingCallThatHoldsMost) {
  FakeCall* const small = NewCall();
  monitor_.MakeRoom(*small, 1);  // nothing is held
  FakeCall* const medium = NewCall();
  FakeCall* const large = NewCall();
  ASSERT_TRUE(small->Hold(monitor_, 100));
  ASSERT_TRUE(medium->Hold(monitor_, 200));
  ASSERT_TRUE(large->Hold(monitor_, 500));
  monitor_.MakeRoom(*small, 300);  // no call waits for its client
  EXPECT_EQ(budget_->used(), 800);
  small->WaitForClientToRead();
  medium->WaitForClientToRead();
  monitor_.MakeRoom(*small, kLimit);  // no call can hold so much
  EXPECT_EQ(budget_->used(), 800);
  monitor_.MakeRoom(*small, 300);
  EXPECT_EQ(medium->why().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(small->why().ok());
  EXPECT_TRUE(large->why().ok());
  EXPECT_EQ(budget_->used(), 600);
}

// So an identity does not cause the calls of another one to be given up by
// having many small ones.
TEST_F(CallMonitorTest, CallOfTheIdentityThatHoldsMostIsGivenUpFirst) {
  const auto many = std::make_shared<ByteBudget>(kNoLimit);
  const auto one = std::make_shared<ByteBudget>(kNoLimit);
  FakeCall* const first = NewCall(many);
  FakeCall* const second = NewCall(many);
  FakeCall* const third = NewCall(many);
  FakeCall* const other = NewCall(one);
  ASSERT_TRUE(first->Hold(monitor_, 200));
  ASSERT_TRUE(second->Hold(monitor_, 150));
  ASSERT_TRUE(third->Hold(monitor_, 150));
  ASSERT_TRUE(other->Hold(monitor_, 300));
  EXPECT_EQ(many->used(), 500);
  EXPECT_TRUE(other->Hold(monitor_, 150));
  EXPECT_EQ(ReasonOf(first->why()), ErrorReason::kClientTooSlow);
  EXPECT_TRUE(second->why().ok());
  EXPECT_TRUE(other->why().ok());
  EXPECT_EQ(many->used(), 300);
  EXPECT_EQ(budget_->used(), 750);
}

TEST_F(CallMonitorTest, ExhaustedShareGivesUpItsOwnCallsOnly) {
  const auto share = std::make_shared<ByteBudget>(400);
  FakeCall* const large = NewCall(share);
  FakeCall* const small = NewCall(share);
  FakeCall* const other = NewCall();
  ASSERT_TRUE(other->Hold(monitor_, 450));
  ASSERT_TRUE(large->Hold(monitor_, 250));
  ASSERT_TRUE(small->Hold(monitor_, 90));
  EXPECT_TRUE(small->Hold(monitor_, 100));  // 440 of 400 with that of `large`
  EXPECT_EQ(ReasonOf(large->why()), ErrorReason::kQuotaExceeded);
  EXPECT_EQ(QuotaOf(large->why()), "unread_bytes");
  EXPECT_TRUE(RetryAfter(large->why()).has_value());
  EXPECT_THAT(large->why().message(), HasSubstr("unread_bytes=400"));
  EXPECT_TRUE(other->why().ok());
  EXPECT_TRUE(small->why().ok());
  EXPECT_EQ(share->used(), 190);
  EXPECT_EQ(monitor_.max_response_bytes(*small), 350);
  EXPECT_EQ(monitor_.max_response_bytes(*other), 875);
}

TEST_F(CallMonitorTest, AnswerBeyondTheShareIsRefusedWithItsQuota) {
  const auto share = std::make_shared<ByteBudget>(400);
  FakeCall* const holder = NewCall(share);
  FakeCall* const unary = NewCall(share);
  ASSERT_TRUE(holder->Hold(monitor_, 300));
  EXPECT_FALSE(unary->TryHold(monitor_, 100));
  EXPECT_TRUE(unary->TryHold(monitor_, 50));
  EXPECT_TRUE(NewCall()->TryHold(monitor_, 100)) << "of another identity";
  const absl::Status wait = monitor_.OutOfMemory(*unary, 100);
  EXPECT_EQ(ReasonOf(wait), ErrorReason::kQuotaExceeded);
  EXPECT_EQ(QuotaOf(wait), "unread_bytes");
  EXPECT_TRUE(RetryAfter(wait).has_value());
  const absl::Status never = monitor_.OutOfMemory(*unary, 401);
  EXPECT_EQ(ReasonOf(never), ErrorReason::kResponseExceedsMemory);
  EXPECT_EQ(QuotaOf(never), "unread_bytes");
  EXPECT_FALSE(RetryAfter(never).has_value());
  ASSERT_TRUE(NewCall()->Hold(monitor_, 450));
  const absl::Status others = monitor_.OutOfMemory(*NewCall(), 200);
  EXPECT_EQ(ReasonOf(others), ErrorReason::kResponseMemoryExhausted);
  EXPECT_EQ(QuotaOf(others), "response_memory");
}

TEST_F(MakeRoomTest, GivesUpACallOfTheIdentityWhoseShareIsExhausted) {
  const auto share = std::make_shared<ByteBudget>(400);
  FakeCall* const own = NewCall(share);
  FakeCall* const other = NewCall();
  ASSERT_TRUE(own->Hold(monitor_, 300));
  ASSERT_TRUE(other->Hold(monitor_, 400));
  own->WaitForClientToRead();
  other->WaitForClientToRead();
  monitor_.MakeRoom(*NewCall(share), 100);
  EXPECT_EQ(ReasonOf(own->why()), ErrorReason::kQuotaExceeded);
  EXPECT_TRUE(other->why().ok());
}

TEST_F(CallMonitorTest, WaitAndChargeWaitsForOtherCalls) {
  FakeCall* const holder = NewCall();
  FakeCall* const waiting = NewCall();
  ASSERT_TRUE(holder->Hold(monitor_, 800));
  int num_attempts = 0;
  const auto charge = monitor_.WaitAndCharge(waiting, 300, [&] {
    if (++num_attempts == 3) monitor_.GiveUp(holder, GiveUpReason::kUnread);
    return false;
  });
  EXPECT_TRUE(charge.has_value());
  EXPECT_FALSE(
      monitor_.WaitAndCharge(waiting, 1, [] { return true; }).has_value());
  EXPECT_FALSE(monitor_.WaitAndCharge(waiting, kLimit + 1, [] { return false; })
                   .has_value());
}

class CallMonitorTimeoutTest : public CallMonitorTest {
 protected:
  CallMonitorTimeoutTest()
      : CallMonitorTest({.unread_timeout = absl::Milliseconds(20),
                         .idle_timeout = absl::Milliseconds(20),
                         .reset_after = absl::InfiniteDuration()}) {}
};

TEST_F(CallMonitorTimeoutTest, CallsThatWaitForTheirClientAreGivenUp) {
  FakeCall* const unread = NewCall();
  FakeCall* const idle = NewCall();
  FakeCall* const busy = NewCall();
  unread->WaitForClientToRead();
  idle->WaitForClientToSend();
  busy->WaitForClientToSend();
  busy->ClientResponded();
  EXPECT_TRUE(
      Eventually([&] { return !unread->why().ok() && !idle->why().ok(); }));
  EXPECT_EQ(unread->why().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(unread->why().message(), HasSubstr("--unread_timeout"));
  EXPECT_EQ(idle->why().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(idle->why().message(), HasSubstr("--stream_idle_timeout"));
  EXPECT_TRUE(busy->why().ok());
}

class StreamSlotsTest : public CallMonitorTest {
 protected:
  // Takes slots for a client until none can be had, and returns their number.
  int TakeAll(StreamSlots& slots, const std::string& address, int32_t limit,
              const std::string& identity = "") {
    int num_taken = 0;
    while (slots.Take(NewCall(), identity, address, limit)) ++num_taken;
    return num_taken;
  }
};

TEST_F(StreamSlotsTest, AddressLeavesSlotsToOthers) {
  StreamSlots slots(&monitor_);
  EXPECT_EQ(TakeAll(slots, "ipv4:10.0.0.1:1", 16), 9);
  EXPECT_EQ(TakeAll(slots, "ipv4:10.0.0.1:2", 16), 0);  // another port
  EXPECT_EQ(TakeAll(slots, "ipv6:%5B::1%5D:3", 16), 4);
  EXPECT_EQ(TakeAll(slots, "ipv4:10.0.0.2:1", 16), 2);
  EXPECT_EQ(TakeAll(slots, "ipv4:10.0.0.3:1", 16), 1);
  EXPECT_EQ(TakeAll(slots, "ipv4:10.0.0.4:1", 16), 0);
}

TEST_F(StreamSlotsTest, ClientsOfAUnixSocketShareAllSlots) {
  StreamSlots slots(&monitor_);
  EXPECT_EQ(TakeAll(slots, "unix:", 16), 16);
}

TEST_F(StreamSlotsTest, IdentityLeavesSlotsToOthersFromAnyAddress) {
  StreamSlots slots(&monitor_);
  EXPECT_EQ(TakeAll(slots, "ipv4:10.0.0.1:1", 16, "a"), 9);
  EXPECT_EQ(TakeAll(slots, "ipv4:10.0.0.2:1", 16, "a"), 0);
  EXPECT_EQ(TakeAll(slots, "unix:", 16, "a"), 0);
  EXPECT_EQ(TakeAll(slots, "ipv4:10.0.0.1:1", 16, "b"), 4);
}

TEST_F(StreamSlotsTest, SingleSlotCanBeTaken) {
  StreamSlots slots(&monitor_);
  EXPECT_EQ(TakeAll(slots, "ipv4:10.0.0.1:1", 1), 1);
  EXPECT_EQ(TakeAll(slots, "ipv4:10.0.0.2:1", 1), 0);
}

TEST_F(StreamSlotsTest, ReleasedSlotCanBeTakenAgain) {
  StreamSlots slots(&monitor_);
  FakeCall* const call = NewCall();
  EXPECT_TRUE(slots.Take(call, "", "ipv4:10.0.0.1:1", 1));
  slots.Release(call);
  slots.Release(call);
  EXPECT_EQ(slots.num_taken(), 0);
  EXPECT_TRUE(slots.Take(NewCall(), "", "ipv4:10.0.0.2:1", 1));
}

TEST_F(StreamSlotsTest, CallThatWaitsForItsClientLosesItsSlot) {
  StreamSlots slots(&monitor_, absl::ZeroDuration());
  FakeCall* const idle = NewCall();
  FakeCall* const busy = NewCall();
  EXPECT_TRUE(slots.Take(idle, "", "ipv4:10.0.0.1:1", 2));
  EXPECT_TRUE(slots.Take(busy, "", "ipv4:10.0.0.2:1", 2));
  EXPECT_FALSE(slots.Take(NewCall(), "", "ipv4:10.0.0.3:1", 2));
  idle->WaitForClientToSend();
  EXPECT_TRUE(slots.Take(NewCall(), "", "ipv4:10.0.0.3:1", 2));
  EXPECT_EQ(idle->why().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(busy->why().ok());
  EXPECT_EQ(slots.num_taken(), 2);
  slots.Release(idle);  // it has none any more
  EXPECT_EQ(slots.num_taken(), 2);
}

// A client whose share is taken does not take slots from other addresses.
TEST_F(StreamSlotsTest, AddressWithoutShareReplacesItsOwnCalls) {
  StreamSlots slots(&monitor_, absl::ZeroDuration());
  FakeCall* const other = NewCall();
  EXPECT_TRUE(slots.Take(other, "", "ipv4:10.0.0.2:1", 4));
  other->WaitForClientToSend();
  FakeCall* const first = NewCall();
  EXPECT_TRUE(slots.Take(first, "", "ipv4:10.0.0.1:1", 4));
  EXPECT_TRUE(slots.Take(NewCall(), "", "ipv4:10.0.0.1:1", 4));
  EXPECT_FALSE(slots.Take(NewCall(), "", "ipv4:10.0.0.1:1", 4));
  first->WaitForClientToRead();
  EXPECT_TRUE(slots.Take(NewCall(), "", "ipv4:10.0.0.1:1", 4));
  EXPECT_FALSE(first->why().ok());
  EXPECT_TRUE(other->why().ok());
}

}  // namespace
}  // namespace rwkvd
