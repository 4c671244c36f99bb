// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_ACCEPT_LOOP_H_
#define RWKVD_SERVICE_LISTENER_ACCEPT_LOOP_H_

#include <sys/socket.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "service/listener/owned_fd.h"

namespace rwkvd {

// Accepts connections from listening sockets, on a thread of its own.
//
// If the process has no descriptor left, it closes new connections at once with
// the help of a spare one. If the system has too little memory or too few
// descriptors, new connections wait in the queue of the kernel. In both cases
// the loop continues to accept when that is over.
//
// Owned by the listener. Thread-compatible.
class AcceptLoop {
 public:
  // All are called by the loop's thread.
  struct Handlers {
    // A new connection, which is nonblocking, with the address of the peer.
    std::function<void(OwnedFd connection, const sockaddr_storage& peer)>
        on_connection;
    // A connection could not be accepted: it was closed, or it waits.
    std::function<void(bool closed, int error)> on_failure;
    // Called after new connections, and then every kTickMs milliseconds as long
    // as it returns true; but late during a pause. May be empty.
    std::function<bool()> on_tick;
  };

  static constexpr int kTickMs = 25;

  AcceptLoop() = default;
  ~AcceptLoop() { Stop(); }
  AcceptLoop(const AcceptLoop&) = delete;
  AcceptLoop& operator=(const AcceptLoop&) = delete;

  // Starts to accept from `listening_fds`, which are nonblocking and stay open
  // until Stop has returned. Called once. Unavailable if the descriptors that
  // the loop needs cannot be opened.
  absl::Status Start(std::vector<int> listening_fds, Handlers handlers);

  // Ends the thread; on_connection is not called after that. May be called
  // several times, and without Start. Not called by a handler.
  void Stop();

 private:
  enum class Next {
    kAccept,  // call accept again
    kPoll,    // no connection waits
    kPause,   // accept would fail again
  };

  void Run();
  // Calls on_tick if it is due at `now`.
  void Tick(absl::Duration now);
  // Accepts what waits, within limits. Whether to pause then.
  bool AcceptFrom(int listening_fd);
  // What to do after accept() has failed with this errno.
  Next HandleFailure(int listening_fd, int error);
  // Uses the spare descriptor to close the next connection that waits.
  Next AcceptAndClose(int listening_fd);

  std::vector<int> listening_fds_;
  Handlers handlers_;
  OwnedFd stop_fd_;  // an eventfd, which Stop writes
  // Used by the loop's thread:
  OwnedFd spare_fd_;  // of /dev/null
  bool ticks_ = false;
  absl::Duration last_tick_ = -absl::InfiniteDuration();
  std::thread thread_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_ACCEPT_LOOP_H_
