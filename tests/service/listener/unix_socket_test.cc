// SPDX-License-Identifier: Apache-2.0
#include "service/listener/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/listener/short_folder.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

class UnixSocketTest : public ::testing::Test {
 protected:
  static std::string ErrorOf(const std::string& path) {
    const auto socket = UnixSocket::Listen(path);
    if (socket.ok()) return "";
    EXPECT_EQ(socket.status().code(), absl::StatusCode::kUnavailable);
    return std::string(socket.status().message());
  }

  bool Exists() const { return access(path_.c_str(), F_OK) == 0; }
  bool LockExists() const {
    return access((path_ + ".lock").c_str(), F_OK) == 0;
  }

  // A socket bound to path_ without a lock, as other programs do it.
  OwnedFd BindWithoutLock(int type) const {
    OwnedFd fd(socket(AF_UNIX, type, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path_.c_str());
    EXPECT_EQ(
        bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)),
        0);
    return fd;
  }

  bool Connects() const {
    const OwnedFd fd(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path_.c_str());
    return connect(fd.get(), reinterpret_cast<sockaddr*>(&address),
                   sizeof(address)) == 0;
  }

  const ShortFolder folder_;
  const std::string path_ = folder_.path() + "/s";
};

TEST_F(UnixSocketTest, ListensUntilItIsDestroyed) {
  {
    const auto socket = UnixSocket::Listen(path_);
    ASSERT_TRUE(socket.ok()) << socket.status();
    EXPECT_TRUE(Connects());
  }
  EXPECT_FALSE(Exists());
  EXPECT_FALSE(LockExists());
}

TEST_F(UnixSocketTest, ModeIsSetIfItIsGiven) {
  const mode_t mask = umask(0077);
  for (const mode_t mode : {0600u, 0660u, 0666u}) {
    const auto socket = UnixSocket::Listen(path_, mode);
    ASSERT_TRUE(socket.ok()) << socket.status();
    struct stat found;
    ASSERT_EQ(stat(path_.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 07777, mode);
  }
  const auto socket = UnixSocket::Listen(path_);
  ASSERT_TRUE(socket.ok()) << socket.status();
  struct stat found;
  ASSERT_EQ(stat(path_.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777, 0700u);
  umask(mask);
}

TEST_F(UnixSocketTest, SecondOneIsRefusedAndLeavesTheFirst) {
  const auto first = UnixSocket::Listen(path_);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(ErrorOf(path_), "cannot listen at unix:" + path_ +
                                ": another process listens there (lock file " +
                                path_ + ".lock)");
  EXPECT_TRUE(Connects());
  EXPECT_TRUE(LockExists());
}

TEST_F(UnixSocketTest, SocketOfAProcessWithoutALockIsNotTaken) {
  const OwnedFd other = BindWithoutLock(SOCK_STREAM);
  ASSERT_EQ(listen(other.get(), 0), 0);
  EXPECT_THAT(ErrorOf(path_), HasSubstr("another process listens there"));
  // The first attempt has filled the queue, so the second fails differently.
  EXPECT_THAT(ErrorOf(path_), HasSubstr("another process listens there"));
  EXPECT_TRUE(Exists());
  EXPECT_FALSE(LockExists());
}

TEST_F(UnixSocketTest, SocketOfAnotherTypeIsNotTaken) {
  const OwnedFd other = BindWithoutLock(SOCK_DGRAM);
  EXPECT_THAT(ErrorOf(path_), HasSubstr("cannot be examined"));
  EXPECT_TRUE(Exists());
}

TEST_F(UnixSocketTest, StaleSocketIsReplaced) {
  BindWithoutLock(SOCK_STREAM).Close();
  std::ofstream(path_ + ".lock").close();  // of a process that was killed
  const auto socket = UnixSocket::Listen(path_);
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_TRUE(Connects());
}

TEST_F(UnixSocketTest, FileIsNotReplaced) {
  std::ofstream(path_) << "data";
  EXPECT_THAT(ErrorOf(path_), HasSubstr("not a socket"));
  EXPECT_TRUE(Exists());
}

TEST_F(UnixSocketTest, SocketOfASuccessorIsNotRemoved) {
  {
    const auto socket = UnixSocket::Listen(path_);
    ASSERT_TRUE(socket.ok());
    ASSERT_EQ(unlink(path_.c_str()), 0);
    BindWithoutLock(SOCK_STREAM).Close();
  }
  EXPECT_TRUE(Exists());
}

TEST_F(UnixSocketTest, LinkAsLockFileIsNotFollowed) {
  const std::string target = path_ + ".target";
  ASSERT_EQ(symlink(target.c_str(), (path_ + ".lock").c_str()), 0);
  EXPECT_THAT(ErrorOf(path_), HasSubstr("cannot open the lock file"));
  EXPECT_NE(access(target.c_str(), F_OK), 0);
}

TEST_F(UnixSocketTest, ErrorsGiveTheReason) {
  EXPECT_EQ(ErrorOf(""), "cannot listen at unix:: the path is empty");
  EXPECT_THAT(ErrorOf("/" + std::string(107, 'x')),
              HasSubstr("the path has 108 bytes; at most 107 fit"));
  EXPECT_THAT(ErrorOf("/nowhere/at/all"),
              HasSubstr("No such file or directory"));
  EXPECT_THAT(ErrorOf(folder_.path()), HasSubstr("not a socket"));
}

}  // namespace
}  // namespace rwkvd
