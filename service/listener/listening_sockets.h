// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_LISTENING_SOCKETS_H_
#define RWKVD_SERVICE_LISTENER_LISTENING_SOCKETS_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "service/listener/owned_fd.h"
#include "service/listener/unix_socket.h"

namespace rwkvd {

// OK if `address` has the form host:port or unix:path, where host is a name, an
// IPv4 address or an IPv6 address in brackets. InvalidArgument otherwise,
// without the flag's name.
absl::Status CheckListenAddress(absl::string_view address);

// The sockets that listen at one address: one for a path or an IP address, one
// for each IP address that a name has. They are nonblocking and are closed
// when a program is executed.
//
// Movable; thread-compatible.
class ListeningSockets {
 public:
  // Listens at `address` in the form that CheckListenAddress describes. Port 0
  // chooses a free port, the same for all addresses of a name. The host 0.0.0.0
  // or [::] stands for all IPv4 and IPv6 addresses. Addresses of a name that
  // this host does not have are skipped.
  //
  // `unix_mode` are the permissions of a path's socket (see UnixSocket).
  //
  // InvalidArgument if the address is malformed; Unavailable, with the address
  // and the system's reason, if it is impossible to listen there.
  static absl::StatusOr<ListeningSockets> Open(
      const std::string& address,
      std::optional<mode_t> unix_mode = std::nullopt);

  // The address that was asked for, with the chosen port.
  const std::string& address() const { return address_; }
  // Nonempty; this object owns the descriptors.
  std::vector<int> fds() const;
  bool is_unix() const { return unix_socket_ != nullptr; }
  // Whether only processes of this host can connect: at a path, or at addresses
  // of the loopback interface.
  bool is_local() const { return is_local_; }

 private:
  ListeningSockets() = default;

  static absl::StatusOr<ListeningSockets> OpenTcp(const std::string& address);

  std::string address_;
  bool is_local_ = true;
  std::vector<OwnedFd> tcp_sockets_;
  std::unique_ptr<UnixSocket> unix_socket_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_LISTENING_SOCKETS_H_
