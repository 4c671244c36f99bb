// SPDX-License-Identifier: Apache-2.0
// When and where the state of `state_handle` is read, and calls that end while
// it is being read.

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/states/memory_state_store.h"
#include "tests/service/calls/generate_client.h"
#include "tests/service/test_server.h"
#include "tests/testing/step_gate.h"

namespace rwkvd {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int kForever = 1 << 20;  // tokens; more than a test generates

// A store in memory that records which threads read from it. Each read passes
// `gate`, which is open unless the test closes it. Thread-safe.
class RecordingStore final : public StateStore {
 public:
  explicit RecordingStore(StepGate* gate) : gate_(gate) {}

  absl::Status PutAs(const std::string& handle, std::string bytes,
                     StoreTime now, absl::Duration time_to_live,
                     int64_t max_owner_bytes) override {
    return store_.PutAs(handle, std::move(bytes), now, time_to_live,
                        max_owner_bytes);
  }
  absl::StatusOr<std::shared_ptr<const std::string>> Get(
      absl::string_view handle, StoreTime now, int64_t max_bytes) override {
    {
      absl::MutexLock lock(&mutex_);
      readers_.push_back(std::this_thread::get_id());
    }
    gate_->Pass();
    return store_.Get(handle, now, max_bytes);
  }
  absl::Status Delete(absl::string_view handle, StoreTime now) override {
    return store_.Delete(handle, now);
  }
  absl::Status Check(StoreTime now) override { return store_.Check(now); }
  Figures figures() const override { return store_.figures(); }
  bool outlives_process() const override { return false; }

  std::vector<std::thread::id> readers() const {
    absl::MutexLock lock(&mutex_);
    return readers_;
  }

 private:
  MemoryStateStore store_{1 << 20};
  StepGate* const gate_;
  mutable absl::Mutex mutex_;
  std::vector<std::thread::id> readers_ ABSL_GUARDED_BY(mutex_);
};

// A server that runs one request and queues none.
class StateLoadingTest : public ::testing::Test {
 protected:
  StateLoadingTest() {
    auto store = std::make_unique<RecordingStore>(&reads_);
    store_ = store.get();
    Options options;
    options.engine.max_running = 1;
    options.engine.max_queued = 0;
    options.drain_grace = absl::Hours(1);
    server_ = std::make_unique<TestServer>(options, nullptr, std::move(store));
  }
  ~StateLoadingTest() override { reads_.Open(); }

  // The handle of a state that the server has saved.
  std::string SaveState() {
    v1::GenerateRequest request = SimpleRequest(3);
    request.mutable_return_state()->set_at_end(true);
    request.mutable_return_state()->set_as_handle(true);
    server_->gate().Permit(3);
    const Answer answer = Generate(*server_, request);
    EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
    return answer.finish.state().handle();
  }

  static v1::GenerateRequest ContinueFrom(const std::string& handle,
                                          int max_tokens = 3) {
    v1::GenerateRequest request = SimpleRequest(max_tokens);
    request.set_state_handle(handle);
    return request;
  }

  // Waits until the slot of the only request is free.
  void ExpectServed() {
    EXPECT_TRUE(Eventually(
        [&] { return Generate(*server_, SimpleRequest(1)).status.ok(); }));
  }

  StepGate reads_;
  RecordingStore* store_ = nullptr;
  std::unique_ptr<TestServer> server_;
};

TEST_F(StateLoadingTest, FullServerReadsNoState) {
  const std::string handle = SaveState();
  Client running(*server_, SimpleRequest(kForever));
  server_->gate().WaitForArrivals(4);
  const Answer refused = Generate(*server_, ContinueFrom(handle));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.status.error_message(), HasSubstr("the queue is full"));
  EXPECT_THAT(refused.pushback, Not(IsEmpty()));
  EXPECT_THAT(store_->readers(), IsEmpty());
  running.Cancel();
  server_->gate().Open();
  running.Finish();
}

TEST_F(StateLoadingTest, DrainingServerReadsNoState) {
  const std::string handle = SaveState();
  server_->engine().Drain(absl::InfinitePast());  // returns, as nothing runs
  const Answer refused = Generate(*server_, ContinueFrom(handle));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(store_->readers(), IsEmpty());
}

TEST_F(StateLoadingTest, StatesAreReadOnTheWorkersThread) {
  reads_.Open();
  const std::string handle = SaveState();
  server_->gate().Open();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(Generate(*server_, ContinueFrom(handle)).status.ok());
  }
  std::thread::id worker;
  absl::Notification done;
  server_->states().worker().Do([&] {
    worker = std::this_thread::get_id();
    done.Notify();
  });
  done.WaitForNotification();
  EXPECT_THAT(store_->readers(), SizeIs(3));
  EXPECT_THAT(store_->readers(), Each(worker));
}

TEST_F(StateLoadingTest, CancelledWhileTheStateIsReadEndsOnce) {
  const std::string handle = SaveState();
  server_->gate().Open();
  Client client(*server_, ContinueFrom(handle));
  reads_.WaitForArrivals(1);
  client.Cancel();
  const Answer answer = client.Finish();
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_FALSE(answer.has_finish);
  reads_.Open();
  ExpectServed();
}

TEST_F(StateLoadingTest, DeadlineWhileTheStateIsReadEndsTheCall) {
  const std::string handle = SaveState();
  server_->gate().Open();
  Client client(*server_, ContinueFrom(handle), absl::Milliseconds(50));
  const Answer answer = client.Finish();
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_FALSE(answer.has_finish);
  reads_.Open();
  ExpectServed();
}

TEST_F(StateLoadingTest, StateThatIsGoneGivesTheSlotBack) {
  reads_.Open();
  const std::string handle = SaveState();
  ASSERT_TRUE(server_->states().Delete(handle).ok());
  const Answer answer = Generate(*server_, ContinueFrom(handle));
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(answer.status.error_message(), HasSubstr("state_handle: "));
  server_->gate().Open();
  EXPECT_TRUE(Generate(*server_, SimpleRequest(1)).status.ok());
}

TEST_F(StateLoadingTest, RequestReservedBeforeDrainingIsServed) {
  const std::string handle = SaveState();
  server_->gate().Open();
  Client client(*server_, ContinueFrom(handle));
  reads_.WaitForArrivals(1);
  server_->server().Drain();
  reads_.Open();
  const Answer answer = client.Finish();
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_THAT(answer.ids, SizeIs(3));
  EXPECT_TRUE(server_->WaitForEnd().ok());
}

TEST_F(StateLoadingTest, ShutdownWhileTheStateIsReadEndsTheCall) {
  const std::string handle = SaveState();
  server_->gate().Open();
  Client client(*server_, ContinueFrom(handle, kForever));
  reads_.WaitForArrivals(1);
  server_->server().Drain();
  // The second Drain cuts the grace period short; it waits for the engine.
  std::thread cut_short([this] { server_->server().Drain(); });
  reads_.Open();
  const Answer answer = client.Finish();
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  cut_short.join();
  EXPECT_TRUE(server_->WaitForEnd().ok());
}

}  // namespace
}  // namespace rwkvd
