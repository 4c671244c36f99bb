// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_SERVICE_STATES_REDIS_PROCESS_H_
#define RWKVD_TESTS_SERVICE_STATES_REDIS_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "service/states/redis_options.h"
#include "service/states/redis_reply.h"
#include "tests/service/listener/short_folder.h"

namespace rwkvd {

// A redis-server without a configuration file, at a Unix socket in a folder of
// its own and, with TLS, at a free port. It stores nothing on disk. The
// destructor kills it. Not thread-safe.
class RedisProcess {
 public:
  // Starts the server with further arguments, and waits until it answers.
  explicit RedisProcess(std::vector<std::string> arguments = {});
  ~RedisProcess() { Kill(); }
  RedisProcess(const RedisProcess&) = delete;
  RedisProcess& operator=(const RedisProcess&) = delete;

  void Kill();
  void Start();  // after Kill, without the earlier contents
  // Stops and continues it as SIGSTOP and SIGCONT do.
  void Stop();
  void Continue();

  // How it is reached through its Unix socket.
  RedisOptions options() const;
  const std::string& folder() const { return folder_.path(); }

  // The reply to a command on a connection of its own, which has no password.
  RedisReply Command(const std::vector<std::string>& words) const;

 private:
  ShortFolder folder_;
  const std::vector<std::string> arguments_;
  pid_t pid_ = -1;
};

// A TCP port of the loopback interface that was free a moment ago.
int FreePort();

}  // namespace rwkvd

#endif  // RWKVD_TESTS_SERVICE_STATES_REDIS_PROCESS_H_
