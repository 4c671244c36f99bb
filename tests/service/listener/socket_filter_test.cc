// SPDX-License-Identifier: Apache-2.0
#include "service/listener/socket_filter.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "service/listener/owned_fd.h"

namespace rwkvd {
namespace {

class SocketFilterTest : public ::testing::Test {
 protected:
  void Open() {
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    here_ = OwnedFd(fds[0]);
    there_ = OwnedFd(fds[1]);
  }

  void Send(absl::string_view bytes) {
    ASSERT_EQ(send(there_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }

  // Receives into two parts, of 3 and 100 bytes. Returns "error" if that fails.
  std::string Receive(int flags = 0) {
    char first[3], second[100];
    iovec parts[] = {{first, sizeof(first)}, {second, sizeof(second)}};
    msghdr message = {};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    const ssize_t size = recvmsg(here_.get(), &message, flags);
    if (size < 0) return "error";
    return (std::string(first, sizeof(first)) + second).substr(0, size);
  }

  OwnedFd here_, there_;
  std::string seen_;
};

TEST_F(SocketFilterTest, FilterSeesWhatIsReceived) {
  Open();
  FilterSocket(here_.get(), {.on_received = [this](absl::string_view bytes) {
                 absl::StrAppend(&seen_, bytes);
                 return true;
               }});
  Send("abcdefgh");
  Receive(MSG_PEEK);
  EXPECT_EQ(seen_, "");
  Receive();
  EXPECT_EQ(seen_, "abcdefgh");
}

TEST_F(SocketFilterTest, RefusedBytesAreAnError) {
  Open();
  FilterSocket(here_.get(), {.on_received = [](absl::string_view bytes) {
                 return bytes.find('x') == bytes.npos;
               }});
  Send("ab");
  EXPECT_NE(Receive(), "error");
  Send("abcxyz");
  EXPECT_EQ(Receive(), "error");
  EXPECT_EQ(errno, ECONNRESET);
  Send("ab");
  EXPECT_EQ(Receive(), "error");
}

TEST_F(SocketFilterTest, FilterSeesWhatIsSent) {
  Open();
  FilterSocket(here_.get(),
               {.on_received = [](absl::string_view) { return true; },
                .on_sent =
                    [this](absl::string_view bytes) {
                      absl::StrAppend(&seen_, bytes);
                    }});
  char first[] = "abc", second[] = "defg";
  iovec parts[] = {{first, 3}, {second, 4}};
  msghdr message = {};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  EXPECT_EQ(sendmsg(here_.get(), &message, 0), 7);
  EXPECT_EQ(seen_, "abcdefg");
  there_.Close();
  EXPECT_EQ(sendmsg(here_.get(), &message, MSG_NOSIGNAL), -1);
  EXPECT_EQ(seen_, "abcdefg");
}

TEST_F(SocketFilterTest, FilterEndsWithItsConnection) {
  const auto alive = std::make_shared<int>();
  const auto open_with_filter = [&] {
    Open();
    FilterSocket(here_.get(),
                 {.on_received = [alive](absl::string_view) { return true; }});
    EXPECT_EQ(alive.use_count(), 2);
  };
  open_with_filter();
  EXPECT_EQ(Receive(MSG_DONTWAIT), "error");  // there is nothing to receive
  EXPECT_EQ(alive.use_count(), 2);
  there_.Close();
  EXPECT_EQ(Receive(), "");
  EXPECT_EQ(alive.use_count(), 1);
  // Closed without a last recvmsg().
  open_with_filter();
  RemoveFiltersOfClosedSockets();
  EXPECT_EQ(alive.use_count(), 2);
  here_.Close();
  RemoveFiltersOfClosedSockets();
  EXPECT_EQ(alive.use_count(), 1);
}

TEST_F(SocketFilterTest, OtherSocketsAreNotFiltered) {
  Open();
  const int fd = here_.get();
  FilterSocket(fd, {.on_received = [](absl::string_view) { return false; }});
  here_.Close();
  there_.Close();
  Open();
  ASSERT_EQ(here_.get(), fd);  // the system chooses the lowest number
  Send("ab");
  EXPECT_NE(Receive(), "error");
}

}  // namespace
}  // namespace rwkvd
