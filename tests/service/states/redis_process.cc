// SPDX-License-Identifier: Apache-2.0
#include "tests/service/states/redis_process.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "core/base/check.h"
#include "core/base/monotonic_clock.h"
#include "service/listener/owned_fd.h"
#include "service/states/redis_client.h"

namespace rwkvd {

RedisProcess::RedisProcess(std::vector<std::string> arguments)
    : arguments_(std::move(arguments)) {
  Start();
}

void RedisProcess::Start() {
  std::vector<std::string> words = {"redis-server",
                                    "--save",
                                    "",
                                    "--appendonly",
                                    "no",
                                    "--daemonize",
                                    "no",
                                    "--dir",
                                    folder(),
                                    "--port",
                                    "0",
                                    "--unixsocket",
                                    folder() + "/socket",
                                    "--logfile",
                                    folder() + "/log"};
  words.insert(words.end(), arguments_.begin(), arguments_.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  pid_ = fork();
  RWKVD_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  // An error, such as that a password is missing, is an answer.
  const auto answers = [this] {
    RWKVD_CHECK(waitpid(pid_, nullptr, WNOHANG) == 0);  // it has not ended
    const std::vector<RedisCommand> ping = {{"PING"}};
    return RedisClient(options()).Run(ping, 0).ok();
  };
  RWKVD_CHECK(PollUntil(answers, absl::Seconds(30)));
}

void RedisProcess::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  RWKVD_CHECK(waitpid(pid_, nullptr, 0) == pid_);
  pid_ = -1;
}

void RedisProcess::Stop() {
  kill(pid_, SIGSTOP);
  siginfo_t info;
  RWKVD_CHECK(waitid(P_PID, static_cast<id_t>(pid_), &info, WSTOPPED) == 0);
}

void RedisProcess::Continue() { kill(pid_, SIGCONT); }

RedisOptions RedisProcess::options() const {
  RedisOptions options;
  options.unix_path = folder() + "/socket";
  options.prefix = "test";
  return options;
}

RedisReply RedisProcess::Command(const std::vector<std::string>& words) const {
  RedisCommand command(words.begin(), words.end());
  RedisClient client(options());
  auto replies = client.Run({command}, 1 << 20);
  RWKVD_CHECK(replies.ok());
  return replies->front();
}

int FreePort() {
  const OwnedFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  RWKVD_CHECK(bind(fd.get(), any, size) == 0);
  RWKVD_CHECK(getsockname(fd.get(), any, &size) == 0);
  return ntohs(address.sin_port);
}

}  // namespace rwkvd
