// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_LOAD_CUTTING_PROXY_H_
#define RWKVD_TESTS_LOAD_CUTTING_PROXY_H_

#include <cstdint>
#include <string>
#include <thread>

namespace rwkvd::testing {

// Stands between one connection of a client and its server, and cuts it after
// so many bytes of the server's, as a network does or a process that is killed.
//
// Owned by whoever makes the connection; its thread ends with it.
class CuttingProxy {
 public:
  enum class Cut {
    kClose,  // both ends are told in good order
    kReset,  // both ends see a reset
  };

  // `server` is "127.0.0.1:PORT".
  CuttingProxy(const std::string& server, int64_t bytes, Cut cut);
  // Cuts the connection if it still is there.
  ~CuttingProxy();
  CuttingProxy(const CuttingProxy&) = delete;
  CuttingProxy& operator=(const CuttingProxy&) = delete;

  // Where the client connects, once.
  const std::string& address() const { return address_; }

 private:
  void Run(uint16_t server_port, int64_t bytes, Cut cut);

  int listener_ = -1;
  int stop_fd_ = -1;
  std::string address_;
  std::thread thread_;
};

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_LOAD_CUTTING_PROXY_H_
