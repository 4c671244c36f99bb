// SPDX-License-Identifier: Apache-2.0
#include "service/listener/accept_loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"
#include "service/listener/listening_sockets.h"

namespace rwkvd {
namespace {

// Records what a loop reports. Thread-safe.
class Recorder {
 public:
  AcceptLoop::Handlers handlers() {
    AcceptLoop::Handlers result;
    result.on_connection = [this](OwnedFd fd, const sockaddr_storage& peer) {
      absl::MutexLock lock(&mutex_);
      connections_.push_back(std::move(fd));
      peers_.push_back(peer);
    };
    result.on_failure = [this](bool closed, int error) {
      absl::MutexLock lock(&mutex_);
      failures_.push_back({closed, error});
    };
    return result;
  }

  void WaitForConnections(size_t n) {
    absl::MutexLock lock(&mutex_);
    const auto done = [&] { return connections_.size() >= n; };
    mutex_.Await(absl::Condition(&done));
  }

  std::pair<bool, int> WaitForFailure() {
    absl::MutexLock lock(&mutex_);
    const auto done = [&] { return !failures_.empty(); };
    mutex_.Await(absl::Condition(&done));
    return failures_.back();
  }

  size_t num_failures() {
    absl::MutexLock lock(&mutex_);
    return failures_.size();
  }
  sockaddr_storage peer(size_t i) {
    absl::MutexLock lock(&mutex_);
    return peers_[i];
  }
  int flags(size_t i) {
    absl::MutexLock lock(&mutex_);
    return fcntl(connections_[i].get(), F_GETFL);
  }

 private:
  absl::Mutex mutex_;
  std::vector<OwnedFd> connections_;
  std::vector<sockaddr_storage> peers_;
  std::vector<std::pair<bool, int>> failures_;
};

class AcceptLoopTest : public ::testing::Test {
 protected:
  AcceptLoopTest() : sockets_(*ListeningSockets::Open("127.0.0.1:0")) {
    getrlimit(RLIMIT_NOFILE, &limit_);
  }
  ~AcceptLoopTest() override { setrlimit(RLIMIT_NOFILE, &limit_); }

  // Leaves no descriptor free, by a low limit and open files.
  void UseUpDescriptors() {
    rlimit low = limit_;
    low.rlim_cur = 64;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (true) {
      OwnedFd fd(open("/dev/null", O_RDONLY));
      if (!fd.valid()) break;
      files_.push_back(std::move(fd));
    }
    ASSERT_EQ(errno, EMFILE);
  }

  void Connect(const OwnedFd& client) const {
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const std::string& address = sockets_.address();
    to.sin_port = htons(std::stoi(address.substr(address.rfind(':') + 1)));
    ASSERT_EQ(
        connect(client.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  }

  static OwnedFd NewClient() {
    return OwnedFd(socket(AF_INET, SOCK_STREAM, 0));
  }

  // Whether the server has closed the connection.
  static bool ReadsTheEnd(const OwnedFd& client) {
    char byte;
    return read(client.get(), &byte, 1) <= 0;
  }

  rlimit limit_;
  std::vector<OwnedFd> files_;
  ListeningSockets sockets_;
  Recorder recorder_;
  AcceptLoop loop_;
};

TEST_F(AcceptLoopTest, ReportsConnectionsWithTheirPeers) {
  ASSERT_TRUE(loop_.Start(sockets_.fds(), recorder_.handlers()).ok());
  const OwnedFd client = NewClient();
  Connect(client);
  recorder_.WaitForConnections(1);
  EXPECT_TRUE(recorder_.flags(0) & O_NONBLOCK);
  sockaddr_in own = {};
  socklen_t size = sizeof(own);
  ASSERT_EQ(getsockname(client.get(), reinterpret_cast<sockaddr*>(&own), &size),
            0);
  const sockaddr_storage peer = recorder_.peer(0);
  EXPECT_EQ(reinterpret_cast<const sockaddr_in&>(peer).sin_port, own.sin_port);
}

TEST_F(AcceptLoopTest, AcceptsFromAllSockets) {
  const auto more = ListeningSockets::Open("127.0.0.1:0");
  std::vector<int> fds = more->fds();
  fds.push_back(sockets_.fds()[0]);
  ASSERT_TRUE(loop_.Start(fds, recorder_.handlers()).ok());
  const OwnedFd client = NewClient();
  Connect(client);
  recorder_.WaitForConnections(1);
}

TEST_F(AcceptLoopTest, ClosesConnectionsWhileDescriptorsAreLacking) {
  ASSERT_TRUE(loop_.Start(sockets_.fds(), recorder_.handlers()).ok());
  const OwnedFd refused = NewClient(), again = NewClient();
  OwnedFd accepted = NewClient();
  UseUpDescriptors();
  Connect(refused);
  EXPECT_EQ(recorder_.WaitForFailure(), std::make_pair(true, EMFILE));
  EXPECT_TRUE(ReadsTheEnd(refused));
  Connect(again);
  EXPECT_TRUE(ReadsTheEnd(again));
  files_.clear();
  Connect(accepted);
  recorder_.WaitForConnections(1);
  EXPECT_EQ(recorder_.num_failures(), 2);
}

TEST_F(AcceptLoopTest, LetsConnectionsWaitIfThereIsNoSpareDescriptor) {
  const OwnedFd client = NewClient();
  ASSERT_TRUE(loop_.Start(sockets_.fds(), recorder_.handlers()).ok());
  UseUpDescriptors();
  // Also forbids to open the spare descriptor again.
  rlimit none = limit_;
  none.rlim_cur = 3;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  Connect(client);
  EXPECT_EQ(recorder_.WaitForFailure(), std::make_pair(false, EMFILE));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit_), 0);
  recorder_.WaitForConnections(1);
}

TEST_F(AcceptLoopTest, StopEndsTheThreadAndMayBeRepeated) {
  loop_.Stop();
  ASSERT_TRUE(loop_.Start(sockets_.fds(), recorder_.handlers()).ok());
  loop_.Stop();
  loop_.Stop();
}

TEST_F(AcceptLoopTest, StopEndsAPause) {
  const OwnedFd client = NewClient();
  ASSERT_TRUE(loop_.Start(sockets_.fds(), recorder_.handlers()).ok());
  rlimit none = limit_;
  none.rlim_cur = 3;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  Connect(client);
  recorder_.WaitForFailure();
  loop_.Stop();
}

}  // namespace
}  // namespace rwkvd
