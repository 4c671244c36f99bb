// SPDX-License-Identifier: Apache-2.0
// The files of DirectoryStateStore: who can access them, when they are deleted,
// and what happens if the disk fails.
#include "service/states/directory_state_store.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "core/base/retry_after.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/states/state_handle.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const StoreTime kNow = {absl::FromUnixSeconds(1'700'000'000), absl::Hours(100)};
constexpr int64_t kMaxBytes = 1000;

mode_t ModeOf(const std::string& path) {
  struct stat info;
  EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

void SetModified(const std::string& path, absl::Time time) {
  const timespec spec = absl::ToTimespec(time);
  const timespec times[2] = {spec, spec};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

class DirectoryStateStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<DirectoryStateStore> Open(StoreTime now = kNow) {
    auto store = DirectoryStateStore::Open(directory_, kMaxBytes, now);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  static std::string Put(StateStore& store, const std::string& bytes,
                         absl::Duration ttl = absl::Seconds(9)) {
    const auto handle = store.Put(bytes, kNow, ttl);
    EXPECT_TRUE(handle.ok()) << handle.status();
    return handle.value_or("");
  }

  static absl::StatusOr<std::shared_ptr<const std::string>> Get(
      StateStore& store, const std::string& handle, StoreTime now = kNow) {
    return store.Get(handle, now, kMaxBytes);
  }

  std::string PathOf(const std::string& handle) const {
    return directory_ + "/" + handle + ".state";
  }

  std::set<std::string> Files() const {
    std::set<std::string> names;
    for (const auto& file : std::filesystem::directory_iterator(directory_)) {
      names.insert(file.path().filename().string());
    }
    return names;
  }

  // The error is the server's, and clients do not learn where files are.
  void ExpectIsServersFault(const absl::Status& status,
                            absl::StatusCode code) const {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr(directory_)));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("/")));
  }

  const std::string directory_ = testing::MakeTempDirectory() + "/states";
};

// Access.

TEST_F(DirectoryStateStoreTest, DirectoryAndFilesAreForTheirUserOnly) {
  const mode_t before = umask(0);
  auto store = Open();
  const std::string handle = Put(*store, "bytes");
  umask(before);
  EXPECT_EQ(ModeOf(directory_), 0700u);
  EXPECT_EQ(ModeOf(PathOf(handle)), 0600u);
}

TEST_F(DirectoryStateStoreTest, WiderDirectoryWithStatesOnlyBecomesPrivate) {
  const std::string handle = Put(*Open(), "bytes");
  ASSERT_EQ(chmod(directory_.c_str(), 02755), 0);
  ASSERT_EQ(chmod(PathOf(handle).c_str(), 0644), 0);
  std::filesystem::create_directory(directory_ + "/lost+found");
  auto store = Open();
  EXPECT_EQ(ModeOf(directory_) & 0777, 0700u);
  EXPECT_EQ(ModeOf(PathOf(handle)), 0600u);
  EXPECT_EQ(**Get(*store, handle), "bytes");
  // Also while the store is open.
  ASSERT_EQ(chmod(directory_.c_str(), 0777), 0);
  Put(*store, "more");
  EXPECT_EQ(ModeOf(directory_) & 0777, 0700u);
}

TEST_F(DirectoryStateStoreTest, WiderDirectoryWithOtherFilesIsRefused) {
  std::filesystem::create_directory(directory_);
  testing::WriteFileOrDie(directory_ + "/notes.txt", "mine");
  ASSERT_EQ(chmod(directory_.c_str(), 0755), 0);
  const auto store = DirectoryStateStore::Open(directory_, kMaxBytes, kNow);
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("notes.txt"));
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("chmod 700"));
  EXPECT_EQ(ModeOf(directory_), 0755u);
  ASSERT_EQ(chmod(directory_.c_str(), 0700), 0);
  Open();
}

TEST_F(DirectoryStateStoreTest, DirectoryOfAnotherUserIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a directory away";
  std::filesystem::create_directory(directory_);
  ASSERT_EQ(chown(directory_.c_str(), 12345, 12345), 0);
  const auto store = DirectoryStateStore::Open(directory_, kMaxBytes, kNow);
  EXPECT_THAT(std::string(store.status().message()),
              HasSubstr("belongs to user 12345, expected user 0"));
}

TEST_F(DirectoryStateStoreTest, LinksAndSpecialFilesAreNotStates) {
  auto store = Open();
  const std::string secret = testing::MakeTempDirectory() + "/secret";
  testing::WriteFileOrDie(secret, "secret");
  const std::string link = NewStateHandle(kNow.system + absl::Hours(1));
  ASSERT_EQ(symlink(secret.c_str(), PathOf(link).c_str()), 0);
  const std::string pipe = NewStateHandle(kNow.system + absl::Hours(1));
  ASSERT_EQ(mkfifo(PathOf(pipe).c_str(), 0600), 0);
  for (const std::string& handle : {link, pipe}) {
    ExpectIsServersFault(Get(*store, handle).status(),
                         absl::StatusCode::kDataLoss);
  }
}

TEST_F(DirectoryStateStoreTest, ErrorSaysWhyTheDirectoryCannotBeUsed) {
  const auto store =
      DirectoryStateStore::Open("/no/such/place", kMaxBytes, kNow);
  EXPECT_THAT(std::string(store.status().message()),
              HasSubstr("/no/such/place"));
  testing::WriteFileOrDie(directory_, "a file");
  EXPECT_FALSE(DirectoryStateStore::Open(directory_, kMaxBytes, kNow).ok());
}

// Several stores.

TEST_F(DirectoryStateStoreTest, StatesSurviveARestartAndAreShared) {
  auto store = Open();
  const std::string handle = Put(*store, "bytes");
  auto other = Open();
  EXPECT_EQ(**Get(*other, handle), "bytes");
  EXPECT_EQ(other->figures().bytes, 5);
  // Each store finds states that the other saves later.
  const std::string later = Put(*store, "x");
  EXPECT_EQ(**Get(*other, later), "x");
  EXPECT_EQ(other->figures().bytes, 6);
  store = nullptr;
  EXPECT_EQ(**Get(*Open(), handle), "bytes");
}

TEST_F(DirectoryStateStoreTest, CheckFindsWhatOtherStoresHaveDone) {
  auto store = Open();
  const std::string handle = Put(*store, "bytes");
  auto other = Open();
  Put(*other, "12345678");
  ASSERT_TRUE(other->Delete(handle, kNow).ok());
  EXPECT_EQ(store->figures().bytes, 5);
  EXPECT_TRUE(store->Check(kNow).ok());
  EXPECT_EQ(store->figures().bytes, 8);
  EXPECT_EQ(Get(*store, handle).status().code(), absl::StatusCode::kNotFound);
}

// No call looks at all files: one that is put there later is not noticed by
// calls for others, only by Check.
TEST_F(DirectoryStateStoreTest, CallsDoNotReadTheDirectory) {
  auto store = Open();
  const std::string handle = Put(*store, "bytes");
  testing::WriteFileOrDie(PathOf(NewStateHandle(kNow.system + absl::Hours(1))),
                          "12345678");
  Put(*store, "x");
  EXPECT_TRUE(store->Delete(handle, kNow).ok());
  EXPECT_EQ(store->figures().handles, 1);
  EXPECT_TRUE(store->Check(kNow).ok());
  EXPECT_EQ(store->figures().handles, 2);
}

TEST_F(DirectoryStateStoreTest, DirectoryThatComesBackIsUsedAgain) {
  auto store = Open();
  const std::string handle = Put(*store, "bytes");
  std::filesystem::rename(directory_, directory_ + ".away");
  ExpectIsServersFault(Get(*store, handle).status(),
                       absl::StatusCode::kUnavailable);
  std::filesystem::create_directory(directory_);
  Put(*store, "x");
  EXPECT_EQ(store->figures().bytes, 1);
  EXPECT_EQ(ModeOf(directory_), 0700u);
}

TEST_F(DirectoryStateStoreTest, CheckMayRunDuringCalls) {
  auto store = Open();
  std::atomic<bool> stop{false};
  std::thread checker([&] {
    while (!stop) EXPECT_TRUE(store->Check(kNow).ok());
  });
  const std::string kept = Put(*store, "kept");
  for (int i = 0; i < 50; ++i) {
    const std::string handle = Put(*store, "bytes");
    EXPECT_EQ(**Get(*store, handle), "bytes");
    EXPECT_TRUE(store->Delete(handle, kNow).ok());
  }
  stop = true;
  checker.join();
  EXPECT_TRUE(store->Check(kNow).ok());
  EXPECT_EQ(store->figures().handles, 1);
  EXPECT_EQ(**Get(*store, kept), "kept");
}

// Expiry.

TEST_F(DirectoryStateStoreTest, DeletesOnlyExpiredStatesAndOldDrafts) {
  auto store = Open();
  const std::string handle = Put(*store, "bytes");
  const std::string draft = PathOf(handle) + ".0123456789abcdef.tmp";
  testing::WriteFileOrDie(draft, "cut short");
  testing::WriteFileOrDie(directory_ + "/notes.txt", "mine");
  testing::WriteFileOrDie(directory_ + "/other.state", "mine");
  SetModified(draft, kNow.system);
  EXPECT_TRUE(store->Check(kNow + absl::Seconds(8)).ok());
  EXPECT_EQ(Files().size(), 4u);
  EXPECT_TRUE(store->Check(kNow + absl::Hours(2)).ok());
  EXPECT_EQ(Files(), (std::set<std::string>{"notes.txt", "other.state"}));
}

TEST_F(DirectoryStateStoreTest, StatesExpireAlsoAfterARestart) {
  const std::string handle = Put(*Open(), "bytes", absl::Hours(2));
  StoreTime later = kNow + absl::Hours(1);
  later.since_boot = absl::ZeroDuration();  // the machine was started again
  auto store = Open(later);
  later = later + absl::Minutes(59);
  EXPECT_TRUE(Get(*store, handle, later).ok());
  later = later + absl::Minutes(1);
  EXPECT_EQ(Get(*store, handle, later).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_TRUE(store->Check(later).ok());
  EXPECT_TRUE(Files().empty());
}

TEST_F(DirectoryStateStoreTest, WrongClockAtTheStartDeletesNothing) {
  const std::string handle = Put(*Open(), "bytes", absl::Hours(2));
  StoreTime wrong = kNow;
  wrong.system += absl::Hours(24 * 365);
  auto store = Open(wrong);
  EXPECT_EQ(Get(*store, handle, wrong).status().code(),
            absl::StatusCode::kNotFound);
  wrong = wrong + absl::Minutes(59);
  EXPECT_TRUE(store->Check(wrong).ok());
  EXPECT_EQ(Files().size(), 1u);
  // The clock is corrected after an hour, and the state is valid again.
  const StoreTime corrected = kNow + absl::Minutes(61);
  EXPECT_TRUE(Get(*store, handle, corrected).ok());
  EXPECT_TRUE(store->Check(corrected).ok());
  EXPECT_TRUE(Get(*store, handle, corrected).ok());
  EXPECT_TRUE(store->Check(kNow + absl::Hours(2)).ok());
  EXPECT_TRUE(Files().empty());
}

TEST_F(DirectoryStateStoreTest, ClockSetForwardDoesNotHideStatesOfOthers) {
  auto store = Open();
  const std::string handle = Put(*Open(), "bytes", absl::Hours(1));
  StoreTime wrong = kNow + absl::Seconds(1);
  wrong.system += absl::Hours(24);
  EXPECT_TRUE(Get(*store, handle, wrong).ok());
}

TEST_F(DirectoryStateStoreTest, ExpiredStatesAreDeletedWithinAnHour) {
  Put(*Open(), "bytes", absl::Hours(2));
  Put(*Open(), "bytes", absl::Seconds(1));
  const StoreTime later = kNow + absl::Hours(24 * 365);
  auto store = Open(later);
  EXPECT_EQ(Files().size(), 2u);
  EXPECT_TRUE(store->Check(later + absl::Seconds(1)).ok());
  EXPECT_EQ(Files().size(), 1u);
  EXPECT_TRUE(store->Check(later + absl::Hours(1)).ok());
  EXPECT_TRUE(Files().empty());
}

TEST_F(DirectoryStateStoreTest, StatesFromTheFutureAreKeptForTheirTimeToLive) {
  const std::string handle = Put(*Open(), "bytes", absl::Hours(2));
  StoreTime early = kNow;
  early.system -= absl::Hours(24 * 365);
  auto store = Open(early);
  early = early + absl::Minutes(119);
  EXPECT_TRUE(store->Check(early).ok());
  EXPECT_TRUE(Get(*store, handle, early).ok());
  EXPECT_TRUE(store->Check(early + absl::Minutes(1)).ok());
  EXPECT_TRUE(Files().empty());
}

TEST_F(DirectoryStateStoreTest, FilesOfOtherUsersExpireLikeOthers) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const std::string handle = Put(*Open(), "bytes");
  ASSERT_EQ(chown(PathOf(handle).c_str(), 12345, 12345), 0);
  auto store = Open();
  EXPECT_EQ(**Get(*store, handle), "bytes");
  EXPECT_TRUE(store->Check(kNow + absl::Seconds(9)).ok());
  EXPECT_TRUE(Files().empty());
}

TEST_F(DirectoryStateStoreTest, ManyExpiredStatesMakeRoomAtOnce) {
  auto store = Open();
  for (int64_t i = 0; i < kMaxBytes / 10; ++i) {
    Put(*store, "0123456789", absl::Seconds(1));
  }
  const auto handle = store->Put(std::string(kMaxBytes, 'y'),
                                 kNow + absl::Seconds(1), absl::Seconds(1));
  EXPECT_TRUE(handle.ok()) << handle.status();
  EXPECT_EQ(Files().size(), 1u);
}

// Failures.

TEST_F(DirectoryStateStoreTest, TruncatedFileIsDataLoss) {
  auto store = Open();
  const std::string handle = Put(*store, "bytes");
  for (const int64_t bytes : {int64_t{0}, kMaxBytes + 1}) {
    ASSERT_EQ(truncate(PathOf(handle).c_str(), bytes), 0);
    ExpectIsServersFault(Get(*store, handle).status(),
                         absl::StatusCode::kDataLoss);
  }
}

TEST_F(DirectoryStateStoreTest, MissingDirectoryMakesTheStoreUnavailable) {
  auto store = Open();
  const std::string handle = Put(*store, "bytes");
  EXPECT_TRUE(store->figures().is_usable);
  std::filesystem::remove_all(directory_);
  constexpr auto kUnavailable = absl::StatusCode::kUnavailable;
  ExpectIsServersFault(store->Put("x", kNow, absl::Seconds(1)).status(),
                       kUnavailable);
  EXPECT_FALSE(store->figures().is_usable);
  ExpectIsServersFault(Get(*store, handle).status(), kUnavailable);
  ExpectIsServersFault(store->Delete(handle, kNow), kUnavailable);
  // The operator learns the path.
  const absl::Status check = store->Check(kNow);
  EXPECT_EQ(check.code(), kUnavailable);
  EXPECT_THAT(std::string(check.message()), HasSubstr(directory_));
  std::filesystem::create_directory(directory_);
  EXPECT_TRUE(store->Check(kNow).ok());
  EXPECT_TRUE(store->figures().is_usable);
  EXPECT_EQ(store->figures().handles, 0);
}

// A limit on the file size stands in for a disk that fails.
TEST_F(DirectoryStateStoreTest, FailedWriteLeavesNothing) {
  auto store = Open();
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit limit{100, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const auto handle = store->Put(std::string(200, 'x'), kNow, absl::Seconds(1));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  ExpectIsServersFault(handle.status(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Files().empty());
  EXPECT_EQ(store->figures().bytes, 0);
}

// The process runs out of descriptors, which is reported as a full disk is.
TEST_F(DirectoryStateStoreTest, ExhaustionComesWithARetryTime) {
  auto store = Open();
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit limit{3, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  const auto handle = store->Put("x", kNow, absl::Seconds(1));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ExpectIsServersFault(handle.status(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(RetryAfter(handle.status()).has_value());
}

}  // namespace
}  // namespace rwkvd
