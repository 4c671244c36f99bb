// SPDX-License-Identifier: Apache-2.0
// Tests of all implementations of StateStore, then of DirectoryStateStore only.
#include "service/states/state_store.h"

#include <sys/stat.h>
#include <utime.h>

#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/states/directory_state_store.h"
#include "service/states/memory_state_store.h"
#include "service/states/state_handle.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

constexpr absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);
constexpr int64_t kMaxBytes = 1000;

class StateStoreTest : public ::testing::TestWithParam<bool> {
 protected:
  StateStoreTest() {
    if (GetParam()) {
      directory_ = testing::MakeTempDirectory() + "/states";
      store_ = *DirectoryStateStore::Open(directory_, kMaxBytes, kNow);
    } else {
      store_ = std::make_unique<MemoryStateStore>(kMaxBytes);
    }
  }

  std::string Put(const std::string& bytes, absl::Duration ttl,
                  absl::Time now = kNow) {
    const auto handle = store_->Put(bytes, now, now + ttl);
    EXPECT_TRUE(handle.ok()) << handle.status();
    return handle.value_or("");
  }

  std::string directory_;
  std::unique_ptr<StateStore> store_;
};

TEST_P(StateStoreTest, ReturnsTheStateUntilItIsDeleted) {
  const std::string bytes("a\0b\xff", 4);
  const std::string one = Put(bytes, absl::Seconds(10));
  const std::string other = Put("other", absl::Seconds(10));
  EXPECT_EQ(**store_->Get(one, kNow), bytes);
  EXPECT_EQ(**store_->Get(other, kNow), "other");
  EXPECT_EQ(store_->figures().handles, 2);
  EXPECT_EQ(store_->figures().bytes, 9);
  EXPECT_TRUE(store_->Delete(one, kNow).ok());
  EXPECT_EQ(store_->Get(one, kNow).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->Delete(one, kNow).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(**store_->Get(other, kNow), "other");
  EXPECT_EQ(store_->figures().bytes, 5);
}

TEST_P(StateStoreTest, DeletesExpiredStates) {
  const std::string soon = Put("1234", absl::Seconds(1));
  const std::string late = Put("12345", absl::Seconds(2));
  const absl::Time then = kNow + absl::Seconds(1);
  EXPECT_TRUE(store_->Get(soon, then - absl::Milliseconds(1)).ok());
  const absl::Status status = store_->Get(soon, then).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("expired at 2023-"));
  EXPECT_EQ(store_->Delete(soon, then).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(store_->Get(late, then).ok());
  Put("1", absl::Seconds(1), then);
  EXPECT_EQ(store_->figures().bytes, 6);
}

TEST_P(StateStoreTest, FullStoreRefusesStatesInsteadOfDeletingOthers) {
  const std::string first =
      Put(std::string(kMaxBytes - 1, 'x'), absl::Seconds(5));
  const auto refused = store_->Put("yy", kNow, kNow + absl::Seconds(9));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(store_->Get(first, kNow).ok());
  Put("y", absl::Seconds(5));
  // There is room once the first state has expired.
  Put(std::string(kMaxBytes, 'z'), absl::Seconds(5), kNow + absl::Seconds(5));
}

TEST_P(StateStoreTest, RefusesStringsThatAreNotHandles) {
  const std::string handle = Put("secret", absl::Hours(1));
  for (std::string strange :
       {std::string(), std::string("../") + handle, handle + "x",
        handle.substr(1), "./" + handle, std::string(45, '/'),
        std::string("\0", 1) + handle.substr(1), "A" + handle.substr(1),
        std::string(1000, '.'), handle + std::string("\0", 1)}) {
    EXPECT_EQ(store_->Get(strange, kNow).status().code(),
              absl::StatusCode::kNotFound);
    EXPECT_EQ(store_->Delete(strange, kNow).code(),
              absl::StatusCode::kNotFound);
  }
  // A client cannot extend the expiry time by changing the handle.
  std::string longer = handle;
  longer.back() = longer.back() == 'f' ? '0' : 'f';
  EXPECT_EQ(store_->Get(longer, kNow).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_TRUE(store_->Get(handle, kNow).ok());
}

INSTANTIATE_TEST_SUITE_P(MemoryAndDirectory, StateStoreTest, ::testing::Bool());

TEST(StateHandleTest, IsRandomAndContainsTheExpiryTime) {
  std::set<std::string> handles;
  for (int i = 0; i < 100; ++i) handles.insert(NewStateHandle(kNow));
  EXPECT_EQ(handles.size(), 100u);
  EXPECT_EQ(ExpiryOf(*handles.begin()), kNow);
  EXPECT_EQ(ExpiryOf(NewStateHandle(absl::InfiniteFuture())),
            absl::FromUnixMillis((int64_t{1} << 48) - 1));
}

class DirectoryStateStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<DirectoryStateStore> Open(absl::Time now = kNow) {
    auto store = DirectoryStateStore::Open(directory_, kMaxBytes, now);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  std::set<std::string> Files() const {
    std::set<std::string> names;
    for (const auto& file : std::filesystem::directory_iterator(directory_)) {
      names.insert(file.path().filename().string());
    }
    return names;
  }

  const std::string directory_ = testing::MakeTempDirectory() + "/states";
};

TEST_F(DirectoryStateStoreTest, StatesSurviveARestartAndAreShared) {
  auto store = Open();
  const std::string handle =
      *store->Put("bytes", kNow, kNow + absl::Seconds(9));
  auto other = Open();
  EXPECT_EQ(**other->Get(handle, kNow), "bytes");
  EXPECT_EQ(other->figures().bytes, 5);
  // Each store finds states that the other saves later.
  const std::string later = *store->Put("x", kNow, kNow + absl::Seconds(9));
  EXPECT_EQ(**other->Get(later, kNow), "x");
  store = nullptr;
  EXPECT_EQ(**Open()->Get(handle, kNow), "bytes");
}

TEST_F(DirectoryStateStoreTest, DirectoryIsAccessibleToItsUserOnly) {
  Open();
  struct stat directory;
  ASSERT_EQ(stat(directory_.c_str(), &directory), 0);
  EXPECT_EQ(directory.st_mode & 0777, 0700);
}

TEST_F(DirectoryStateStoreTest, DeletesOnlyExpiredStatesAndOldDrafts) {
  auto store = Open();
  const std::string handle =
      *store->Put("bytes", kNow, kNow + absl::Seconds(9));
  const std::string draft =
      directory_ + "/" + handle + ".state.0123456789abcdef.tmp";
  testing::WriteFileOrDie(draft, "cut short");
  testing::WriteFileOrDie(directory_ + "/notes.txt", "mine");
  testing::WriteFileOrDie(directory_ + "/other.state", "mine");
  const utimbuf old = {absl::ToTimeT(kNow), absl::ToTimeT(kNow)};
  ASSERT_EQ(utime(draft.c_str(), &old), 0);
  Open(kNow + absl::Seconds(8));
  EXPECT_EQ(Files().size(), 4u);
  Open(kNow + absl::Hours(2));
  EXPECT_EQ(Files(), (std::set<std::string>{"notes.txt", "other.state"}));
}

TEST_F(DirectoryStateStoreTest, ErrorSaysWhyTheDirectoryCannotBeUsed) {
  const auto store =
      DirectoryStateStore::Open("/no/such/place", kMaxBytes, kNow);
  EXPECT_THAT(std::string(store.status().message()),
              HasSubstr("/no/such/place"));
  testing::WriteFileOrDie(directory_, "a file");
  EXPECT_FALSE(DirectoryStateStore::Open(directory_, kMaxBytes, kNow).ok());
}

}  // namespace
}  // namespace rwkvd
