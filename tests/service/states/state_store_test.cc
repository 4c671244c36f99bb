// SPDX-License-Identifier: Apache-2.0
// Tests of all implementations of StateStore.
#include "service/states/state_store.h"

#include <memory>
#include <set>
#include <string>

#include "core/base/retry_after.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/states/directory_state_store.h"
#include "service/states/memory_state_store.h"
#include "service/states/state_handle.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

const StoreTime kStoreNow = {absl::FromUnixSeconds(1'700'000'000),
                             absl::Hours(100)};
constexpr int64_t kMaxStoreBytes = 1000;

class StateStoreTest : public ::testing::TestWithParam<bool> {
 protected:
  StateStoreTest() {
    if (GetParam()) {
      directory_ = testing::MakeTempDirectory() + "/states";
      store_ =
          *DirectoryStateStore::Open(directory_, kMaxStoreBytes, kStoreNow);
    } else {
      store_ = std::make_unique<MemoryStateStore>(kMaxStoreBytes);
    }
  }

  std::string Put(const std::string& bytes, absl::Duration ttl,
                  StoreTime now = kStoreNow) {
    const auto handle = store_->Put(bytes, now, ttl);
    EXPECT_TRUE(handle.ok()) << handle.status();
    return handle.value_or("");
  }

  auto Get(absl::string_view handle, StoreTime now = kStoreNow) {
    return store_->Get(handle, now, kMaxStoreBytes);
  }

  std::string directory_;
  std::unique_ptr<StateStore> store_;
};

TEST_P(StateStoreTest, ReturnsTheStateUntilItIsDeleted) {
  const std::string bytes("a\0b\xff", 4);
  const std::string one = Put(bytes, absl::Seconds(10));
  const std::string other = Put("other", absl::Seconds(10));
  EXPECT_EQ(**Get(one, kStoreNow), bytes);
  EXPECT_EQ(**Get(other, kStoreNow), "other");
  EXPECT_EQ(store_->figures().handles, 2);
  EXPECT_EQ(store_->figures().bytes, 9);
  EXPECT_TRUE(store_->Delete(one, kStoreNow).ok());
  EXPECT_EQ(Get(one, kStoreNow).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->Delete(one, kStoreNow).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(**Get(other, kStoreNow), "other");
  EXPECT_EQ(store_->figures().bytes, 5);
}

TEST_P(StateStoreTest, DeletesExpiredStates) {
  const std::string soon = Put("1234", absl::Seconds(1));
  const std::string late = Put("12345", absl::Seconds(2));
  const StoreTime then = kStoreNow + absl::Seconds(1);
  EXPECT_TRUE(Get(soon, kStoreNow + absl::Milliseconds(999)).ok());
  const absl::Status status = Get(soon, then).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("expired at 2023-"));
  EXPECT_EQ(store_->Delete(soon, then).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(Get(late, then).ok());
  Put("1", absl::Seconds(1), then);
  EXPECT_EQ(store_->figures().bytes, 6);
}

TEST_P(StateStoreTest, FullStoreRefusesStatesInsteadOfDeletingOthers) {
  const std::string first =
      Put(std::string(kMaxStoreBytes - 1, 'x'), absl::Seconds(5));
  const auto refused = store_->Put("yy", kStoreNow, absl::Seconds(9));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(RetryAfter(refused.status()), absl::Seconds(5));  // the first one
  EXPECT_TRUE(Get(first, kStoreNow).ok());
  Put("y", absl::Seconds(5));
  // There is room once the first state has expired.
  Put(std::string(kMaxStoreBytes, 'z'), absl::Seconds(5),
      kStoreNow + absl::Seconds(5));
}

TEST_P(StateStoreTest, RefusesStringsThatAreNotHandles) {
  const std::string handle = Put("secret", absl::Hours(1));
  for (std::string strange :
       {std::string(), std::string("../") + handle, handle + "x",
        handle.substr(1), "./" + handle, std::string(45, '/'),
        std::string("\0", 1) + handle.substr(1), "A" + handle.substr(1),
        std::string(1000, '.'), handle + std::string("\0", 1)}) {
    EXPECT_EQ(Get(strange, kStoreNow).status().code(),
              absl::StatusCode::kNotFound);
    EXPECT_EQ(store_->Delete(strange, kStoreNow).code(),
              absl::StatusCode::kNotFound);
  }
  // A client cannot extend the expiry time by changing the handle.
  std::string longer = handle;
  longer.back() = longer.back() == 'f' ? '0' : 'f';
  EXPECT_EQ(Get(longer, kStoreNow).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_TRUE(Get(handle, kStoreNow).ok());
}

TEST_P(StateStoreTest, SettingTheSystemClockChangesNothing) {
  for (const absl::Duration step : {absl::Hours(24 * 4000), -absl::Hours(24)}) {
    const std::string handle = Put("bytes", absl::Seconds(10));
    StoreTime set = kStoreNow + absl::Seconds(9);
    set.system += step;
    EXPECT_TRUE(store_->Check(set).ok());
    Put("", absl::Seconds(1), set);
    EXPECT_TRUE(Get(handle, set).ok());
    set = set + absl::Seconds(1);
    EXPECT_EQ(Get(handle, set).status().code(), absl::StatusCode::kNotFound);
    EXPECT_TRUE(store_->Check(set).ok());
    EXPECT_EQ(store_->figures().bytes, 0);
  }
}

TEST_P(StateStoreTest, CheckDeletesExpiredStates) {
  Put("1234", absl::Seconds(1));
  Put("12345", absl::Seconds(2));
  EXPECT_TRUE(store_->Check(kStoreNow + absl::Seconds(1)).ok());
  EXPECT_EQ(store_->figures().bytes, 5);
  EXPECT_EQ(store_->figures().handles, 1);
}

INSTANTIATE_TEST_SUITE_P(MemoryAndDirectory, StateStoreTest, ::testing::Bool());

TEST(StateHandleTest, IsRandomAndContainsTheExpiryTime) {
  std::set<std::string> handles;
  for (int i = 0; i < 100; ++i)
    handles.insert(NewStateHandle(kStoreNow.system));
  EXPECT_EQ(handles.size(), 100u);
  EXPECT_EQ(ExpiryOf(*handles.begin()), kStoreNow.system);
  EXPECT_EQ(ExpiryOf(NewStateHandle(absl::InfiniteFuture())),
            absl::FromUnixMillis((int64_t{1} << 48) - 1));
}

}  // namespace
}  // namespace rwkvd
