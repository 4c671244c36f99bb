// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_LOAD_CUTTING_PROXY_H_
#define RWKVD_TESTS_LOAD_CUTTING_PROXY_H_

#include <cstdint>
#include <string>
#include <thread>

namespace rwkvd::testing {

// Forwards one connection of a client to its server, and cuts it after a number
// of bytes from the server, as a network failure or a killed process does.
//
// Owned by the caller that connects; the destructor joins its thread.
class CuttingProxy {
 public:
  enum class Cut {
    kClose,  // both ends see an orderly close
    kReset,  // both ends see a reset
  };

  // `server` is "127.0.0.1:PORT".
  CuttingProxy(const std::string& server, int64_t bytes, Cut cut);
  // Cuts the connection if it is still open.
  ~CuttingProxy();
  CuttingProxy(const CuttingProxy&) = delete;
  CuttingProxy& operator=(const CuttingProxy&) = delete;

  // The address to which the client connects, once.
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
