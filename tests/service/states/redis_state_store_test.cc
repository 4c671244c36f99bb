// SPDX-License-Identifier: Apache-2.0
// RedisStateStore with a real redis-server.
#include "service/states/redis_state_store.h"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "core/base/monotonic_clock.h"
#include "core/base/retry_after.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/states/redis_scripts.h"
#include "service/states/state_handle.h"
#include "tests/service/states/redis_process.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMaxStates = 1000;  // bytes
constexpr absl::Duration kPatience = absl::Seconds(30);

class RedisStateStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<RedisStateStore> Open(const RedisOptions& options,
                                        int64_t max_bytes = kMaxStates) {
    auto store = RedisStateStore::Open(options, max_bytes, StoreTime::Now());
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  std::unique_ptr<RedisStateStore> Open() { return Open(redis_.options()); }

  static std::string Put(StateStore& store, const std::string& bytes,
                         absl::Duration ttl = absl::Minutes(5)) {
    const auto handle = store.Put(bytes, StoreTime::Now(), ttl);
    EXPECT_TRUE(handle.ok()) << handle.status();
    return handle.value_or("");
  }

  static absl::StatusOr<std::shared_ptr<const std::string>> Get(
      StateStore& store, const std::string& handle) {
    return store.Get(handle, StoreTime::Now(), kMaxStates);
  }

  static std::optional<ErrorReason> PutReason(StateStore& store,
                                              const std::string& bytes) {
    return ReasonOf(
        store.Put(bytes, StoreTime::Now(), absl::Minutes(5)).status());
  }

  RedisProcess redis_;
};

TEST_F(RedisStateStoreTest, ReturnsTheStateUntilItIsDeleted) {
  const auto store = Open(), other = Open();
  const std::string bytes("a\0\r\n\xff", 5);
  const std::string handle = Put(*store, bytes);
  EXPECT_EQ(**Get(*other, handle), bytes) << "another server";
  EXPECT_EQ(store->figures().handles, 1);
  EXPECT_EQ(store->figures().bytes, 5);
  EXPECT_TRUE(store->outlives_process());
  EXPECT_TRUE(other->Delete(handle, StoreTime::Now()).ok());
  EXPECT_EQ(other->figures().handles, 0);
  EXPECT_EQ(other->figures().bytes, 0);
  EXPECT_EQ(ReasonOf(Get(*store, handle).status()),
            ErrorReason::kStateNotFound);
  EXPECT_EQ(ReasonOf(store->Delete(handle, StoreTime::Now())),
            ErrorReason::kStateNotFound);
  EXPECT_TRUE(store->figures().is_usable);
}

TEST_F(RedisStateStoreTest, RedisDeletesExpiredStates) {
  const auto store = Open();
  const std::string late = Put(*store, "late");
  const std::string soon = Put(*store, "soon", absl::Milliseconds(30));
  EXPECT_TRUE(PollUntil([&] { return !Get(*store, soon).ok(); }, kPatience));
  EXPECT_EQ(ReasonOf(Get(*store, soon).status()), ErrorReason::kStateExpired);
  EXPECT_TRUE(Get(*store, late).ok());
  EXPECT_TRUE(store->Check(StoreTime::Now()).ok());
  EXPECT_EQ(store->figures().handles, 1);
  EXPECT_EQ(store->figures().bytes, 4);
}

TEST_F(RedisStateStoreTest, RefusesStringsThatAreNotHandles) {
  const auto store = Open();
  const std::string handle = Put(*store, "secret");
  for (const std::string& strange :
       {std::string(), handle + "x", handle.substr(1), "../" + handle,
        std::string("index"), "A" + handle.substr(1), std::string(45, '*')}) {
    EXPECT_EQ(ReasonOf(Get(*store, strange).status()),
              ErrorReason::kStateNotFound);
    EXPECT_EQ(ReasonOf(store->Delete(strange, StoreTime::Now())),
              ErrorReason::kStateNotFound);
  }
  EXPECT_TRUE(Get(*store, handle).ok());
}

TEST_F(RedisStateStoreTest, AllServersShareOneLimit) {
  const auto store = Open(), other = Open();
  const std::string first = Put(*store, std::string(kMaxStates - 1, 'x'));
  const auto refused =
      other->Put("yy", StoreTime::Now(), absl::Minutes(5)).status();
  EXPECT_EQ(ReasonOf(refused), ErrorReason::kStateStoreFull);
  EXPECT_EQ(QuotaOf(refused), "state_store_mib");
  EXPECT_EQ(RetryAfter(refused), absl::Minutes(1));
  Put(*other, "y");
  EXPECT_TRUE(other->Delete(first, StoreTime::Now()).ok());
  Put(*other, "yy");
  EXPECT_EQ(PutReason(*store, std::string(kMaxStates + 1, 'x')),
            ErrorReason::kStateStoreFull);
}

TEST_F(RedisStateStoreTest, ConcurrentPutsKeepTheLimit) {
  std::vector<std::thread> servers;
  std::atomic<int> num_stored{0};
  for (int i = 0; i < 4; ++i) {
    servers.emplace_back([&] {
      const auto store = Open();
      for (int k = 0; k < 20; ++k) {
        const auto handle = store->Put(std::string(100, 'x'), StoreTime::Now(),
                                       absl::Minutes(5));
        if (handle.ok()) ++num_stored;
      }
    });
  }
  for (std::thread& server : servers) server.join();
  EXPECT_EQ(num_stored, kMaxStates / 100);
  const auto store = Open();
  EXPECT_EQ(store->figures().bytes, kMaxStates);
  EXPECT_EQ(store->figures().handles, kMaxStates / 100);
}

TEST_F(RedisStateStoreTest, StatesOfAnOwnerAreBounded) {
  const auto store = Open();
  const StoreTime now = StoreTime::Now();
  const auto put = [&](const std::string& partition, const std::string& bytes) {
    const std::string handle =
        StoredHandle(NewStateHandle(now.system + absl::Minutes(5)), partition);
    return store->PutAs(handle, bytes, now, absl::Minutes(5), 10);
  };
  EXPECT_TRUE(put("alice", "123456").ok());
  const absl::Status refused = put("alice", "12345");
  EXPECT_EQ(ReasonOf(refused), ErrorReason::kStateStoreFull);
  EXPECT_EQ(QuotaOf(refused), "identity_state_store_mib");
  EXPECT_TRUE(put("bob", "12345").ok());
  EXPECT_TRUE(put("alice", "1234").ok());
}

TEST_F(RedisStateStoreTest, ExpiredStatesMakeRoom) {
  const auto store = Open();
  for (int i = 0; i < 10; ++i) {
    Put(*store, std::string(kMaxStates / 10, 'x'), absl::Milliseconds(200));
  }
  const auto has_room = [&] {
    return store
        ->Put(std::string(kMaxStates, 'y'), StoreTime::Now(), absl::Minutes(5))
        .ok();
  };
  EXPECT_TRUE(PollUntil(has_room, kPatience));
  EXPECT_EQ(store->figures().handles, 1);
}

// A server that has reserved room, and ended before it sent the state.
TEST_F(RedisStateStoreTest, ReservationWithoutStateEnds) {
  const auto store = Open();
  const std::string handle = NewStateHandle(absl::Now() + absl::Hours(1));
  const RedisReply reserved = redis_.Command(
      {"EVAL", std::string(ReserveScript()), "3", "test:index", "test:sizes",
       "test:sums", "test:state:", handle, "700", "1000", "1000", "300"});
  EXPECT_THAT(reserved.integers, ::testing::ElementsAre(0, 700, 1, 0));
  EXPECT_EQ(PutReason(*store, std::string(400, 'x')),
            ErrorReason::kStateStoreFull);
  EXPECT_TRUE(PollUntil(
      [&] { return !PutReason(*store, std::string(400, 'x')).has_value(); },
      kPatience));
  EXPECT_EQ(store->figures().bytes, 400);
}

// A server that has sent a state, and ended before it refreshed the index.
TEST_F(RedisStateStoreTest, StateBehindAnEndedReservationStillCounts) {
  const auto store = Open();
  const std::string handle = NewStateHandle(absl::Now() + absl::Hours(1));
  redis_.Command({"EVAL", std::string(ReserveScript()), "3", "test:index",
                  "test:sizes", "test:sums", "test:state:", handle, "700",
                  "1000", "1000", "1"});
  redis_.Command(
      {"SET", "test:state:" + handle, std::string(700, 'x'), "PX", "300000"});
  EXPECT_TRUE(PollUntil(
      [&] {
        EXPECT_TRUE(store->Check(StoreTime::Now()).ok());
        return redis_.Command({"ZSCORE", "test:index", handle}).text.size() >
                   0 &&
               store->figures().bytes == 700;
      },
      kPatience));
  EXPECT_EQ(PutReason(*store, std::string(400, 'x')),
            ErrorReason::kStateStoreFull);
  EXPECT_TRUE(store->Delete(handle, StoreTime::Now()).ok());
  EXPECT_EQ(store->figures().bytes, 0);
}

TEST_F(RedisStateStoreTest, StatesThatRedisHasLostLeaveTheIndex) {
  const auto store = Open();
  const std::string handle = Put(*store, "state");
  redis_.Command({"FLUSHALL"});
  EXPECT_EQ(ReasonOf(Get(*store, handle).status()),
            ErrorReason::kStateNotFound);
  EXPECT_TRUE(store->Check(StoreTime::Now()).ok());
  EXPECT_EQ(store->figures().bytes, 0);
  EXPECT_EQ(store->figures().handles, 0);
}

TEST_F(RedisStateStoreTest, DatabasesAndPrefixesAreApart) {
  RedisOptions second = redis_.options(), third = redis_.options();
  second.database = 3;
  third.prefix = "other";
  const auto store = Open();
  const std::string handle = Put(*store, "state");
  for (const RedisOptions& options : {second, third}) {
    const auto other = Open(options);
    EXPECT_EQ(ReasonOf(Get(*other, handle).status()),
              ErrorReason::kStateNotFound);
    EXPECT_EQ(other->figures().bytes, 0);
  }
}

TEST_F(RedisStateStoreTest, LargerStateThanExpectedIsDamaged) {
  const auto store = Open();
  const std::string handle = Put(*store, std::string(500, 'x'));
  EXPECT_EQ(ReasonOf(store->Get(handle, StoreTime::Now(), 499).status()),
            ErrorReason::kSavedStateDamaged);
  // The connection that was in the middle of it is replaced.
  EXPECT_TRUE(store->Get(handle, StoreTime::Now(), 500).ok());
  EXPECT_TRUE(store->figures().is_usable);
}

TEST_F(RedisStateStoreTest, KeyOfAnotherTypeIsAFailure) {
  const auto store = Open();
  const std::string handle = NewStateHandle(absl::Now() + absl::Hours(1));
  redis_.Command({"LPUSH", "test:state:" + handle, "x"});
  EXPECT_EQ(ReasonOf(Get(*store, handle).status()),
            ErrorReason::kStateStoreFailed);
  EXPECT_FALSE(store->figures().is_usable);
  Put(*store, "others are not affected");
  EXPECT_TRUE(store->figures().is_usable);
}

TEST_F(RedisStateStoreTest, LackOfMemoryInRedisIsAFullStore) {
  const auto store = Open(redis_.options(), int64_t{1} << 30);
  redis_.Command({"CONFIG", "SET", "maxmemory-policy", "noeviction"});
  redis_.Command({"CONFIG", "SET", "maxmemory", "1"});
  const auto refused =
      store->Put("state", StoreTime::Now(), absl::Minutes(5)).status();
  EXPECT_EQ(ReasonOf(refused), ErrorReason::kStateStoreFull);
  EXPECT_EQ(QuotaOf(refused), "redis_maxmemory");
  EXPECT_TRUE(RetryAfter(refused).has_value());
  EXPECT_TRUE(store->Check(StoreTime::Now()).ok());
  EXPECT_TRUE(store->figures().is_usable);
  redis_.Command({"CONFIG", "SET", "maxmemory", "0"});
  const std::string handle = Put(*store, "state");
  // What is there can still be read and deleted.
  redis_.Command({"CONFIG", "SET", "maxmemory", "1"});
  EXPECT_TRUE(Get(*store, handle).ok());
  EXPECT_TRUE(store->Delete(handle, StoreTime::Now()).ok());
  EXPECT_TRUE(store->figures().is_usable);
}

TEST_F(RedisStateStoreTest, RefusedStateGivesItsRoomBack) {
  const auto store = Open();
  redis_.Command({"ACL", "SETUSER", "default", "-set"});
  EXPECT_EQ(PutReason(*store, "state"), ErrorReason::kStateStoreFailed);
  EXPECT_FALSE(store->figures().is_usable);
  EXPECT_EQ(redis_.Command({"ZCARD", "test:index"}).integer, 0);
  EXPECT_EQ(redis_.Command({"HGET", "test:sums", "all"}).text, "0");
}

TEST_F(RedisStateStoreTest, IdleConnectionThatEndedIsReplaced) {
  const auto store = Open();
  const std::string handle = Put(*store, "state");
  for (int i = 0; i < 3; ++i) {
    redis_.Command({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
    EXPECT_TRUE(Get(*store, handle).ok());
  }
}

TEST_F(RedisStateStoreTest, KilledServerCostsLittleAndIsUsedAgain) {
  const auto store = Open();
  const std::string handle = Put(*store, "state");
  redis_.Kill();
  const absl::Status failed = Get(*store, handle).status();
  EXPECT_EQ(ReasonOf(failed), ErrorReason::kStateStoreFailed);
  EXPECT_TRUE(absl::IsUnavailable(failed));
  EXPECT_GE(RetryAfter(failed), absl::Seconds(1));
  EXPECT_FALSE(store->figures().is_usable);
  EXPECT_THAT(std::string(failed.message()),
              ::testing::Not(HasSubstr(redis_.folder())));
  EXPECT_EQ(ReasonOf(store->Delete(handle, StoreTime::Now())),
            ErrorReason::kStateStoreFailed);
  EXPECT_TRUE(store->Check(StoreTime::Now()).ok());
  redis_.Start();
  EXPECT_TRUE(PollUntil(
      [&] {
        return ReasonOf(Get(*store, handle).status()) ==
               ErrorReason::kStateNotFound;
      },
      kPatience));
  EXPECT_TRUE(store->figures().is_usable);
  Put(*store, "state");
}

TEST_F(RedisStateStoreTest, StalledServerCostsOneTimeout) {
  RedisOptions options = redis_.options();
  options.timeout = absl::Milliseconds(300);
  const auto store = Open(options, int64_t{1} << 30);
  const std::string handle = Put(*store, "state");
  redis_.Stop();
  const absl::Time begin = MonotonicNow();
  // More than the buffers of the socket take.
  EXPECT_EQ(PutReason(*store, std::string(10 << 20, 'x')),
            ErrorReason::kStateStoreFailed);
  EXPECT_GE(MonotonicNow() - begin, absl::Milliseconds(300));
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(ReasonOf(Get(*store, handle).status()),
              ErrorReason::kStateStoreFailed);
  }
  // A hundred timeouts would take half a minute.
  EXPECT_LT(MonotonicNow() - begin, absl::Seconds(15));
  redis_.Continue();
  EXPECT_TRUE(PollUntil([&] { return Get(*store, handle).ok(); }, kPatience));
}

TEST_F(RedisStateStoreTest, ServerThatIsDownAtTheStartIsUsedLater) {
  redis_.Kill();
  const auto store = Open();
  EXPECT_FALSE(store->figures().is_usable);
  redis_.Start();
  EXPECT_TRUE(PollUntil([&] { return !PutReason(*store, "state").has_value(); },
                        kPatience));
}

}  // namespace
}  // namespace rwkvd
