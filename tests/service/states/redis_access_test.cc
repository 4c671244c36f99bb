// SPDX-License-Identifier: Apache-2.0
// Passwords and TLS of RedisStateStore, with a real redis-server, and servers
// that send anything.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/monotonic_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/listener/owned_fd.h"
#include "service/states/redis_state_store.h"
#include "service/states/state_handle.h"
#include "tests/service/listener/test_certificates.h"
#include "tests/service/states/redis_process.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::WriteFileOrDie;

// Arguments of redis-server: a user as in docs/operations.md, and a password of
// the default user.
std::vector<std::string> UserArguments() {
  return absl::StrSplit(
      "--user rwkvd on >secret-of-redis ~rwkvd:* resetchannels -@all +select "
      "+get +set +del +eval +time +pttl +strlen +zadd +zrem +zcard +zrange "
      "+zrangebyscore +hget +hset +hdel +hincrby --requirepass default-secret",
      ' ');
}

absl::StatusOr<std::unique_ptr<RedisStateStore>> OpenStore(
    const RedisOptions& options) {
  return RedisStateStore::Open(options, 1 << 20, StoreTime::Now());
}

// Whether a state can be stored, read and deleted.
bool IsUsable(const RedisOptions& options) {
  const auto store = OpenStore(options);
  RWKVD_CHECK(store.ok());
  const StoreTime now = StoreTime::Now();
  const auto handle = (*store)->Put("state", now, absl::Minutes(1));
  const bool is_usable = handle.ok() && (*store)->Get(*handle, now, 5).ok() &&
                         (*store)->Delete(*handle, now).ok();
  EXPECT_EQ((*store)->figures().is_usable, is_usable);
  return is_usable;
}

class RedisPasswordTest : public ::testing::Test {
 protected:
  RedisPasswordTest() : redis_(UserArguments()) {
    options_ = redis_.options();
    options_.prefix = "rwkvd";
    options_.user = "rwkvd";
    options_.password_file = redis_.folder() + "/password";
  }

  bool IsUsableWith(const std::string& password) {
    WriteFileOrDie(options_.password_file, password);
    return IsUsable(options_);
  }

  RedisProcess redis_;
  RedisOptions options_;
};

TEST_F(RedisPasswordTest, UserNeedsItsPassword) {
  EXPECT_TRUE(IsUsableWith("secret-of-redis\n"));
  EXPECT_FALSE(IsUsableWith("wrong"));
  EXPECT_FALSE(IsUsableWith("default-secret"));
  options_.user = "";
  EXPECT_TRUE(IsUsableWith("default-secret"));
  EXPECT_FALSE(IsUsableWith("secret-of-redis"));
  options_.user = "nobody";
  EXPECT_FALSE(IsUsableWith("secret-of-redis"));
  options_.user = options_.password_file = "";
  EXPECT_FALSE(IsUsable(options_));
}

TEST_F(RedisPasswordTest, UserMayUseItsPrefixOnly) {
  WriteFileOrDie(options_.password_file, "secret-of-redis");
  options_.prefix = "other";
  EXPECT_FALSE(IsUsable(options_));
}

TEST_F(RedisPasswordTest, PasswordIsReadForEachConnection) {
  WriteFileOrDie(options_.password_file, "secret-of-redis");
  const auto store = OpenStore(options_);
  ASSERT_TRUE(store.ok());
  WriteFileOrDie(options_.password_file, "wrong");
  const StoreTime now = StoreTime::Now();
  EXPECT_TRUE((*store)->Put("state", now, absl::Minutes(1)).ok());
  redis_.Kill();
  redis_.Start();
  EXPECT_FALSE((*store)->Put("state", now, absl::Minutes(1)).ok());
  WriteFileOrDie(options_.password_file, "secret-of-redis");
  EXPECT_TRUE(PollUntil(
      [&] { return (*store)->Put("state", now, absl::Minutes(1)).ok(); },
      absl::Seconds(30)));
}

TEST_F(RedisPasswordTest, ErrorsDoNotShowThePassword) {
  WriteFileOrDie(options_.password_file, "misplaced secret");
  absl::Status refused = OpenStore(options_).status();
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("--state_store_password_file"));
  EXPECT_THAT(std::string(refused.message()), Not(HasSubstr("secret")));
  WriteFileOrDie(options_.password_file, "another-wrong-one");
  RedisClient client(options_);
  const std::vector<RedisCommand> ping = {{"PING"}};
  refused = client.Run(ping, 0).status();
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("AUTH: WRONGPASS"));
  EXPECT_THAT(std::string(refused.message()), Not(HasSubstr("another")));
  for (const std::string& bad :
       {std::string(), std::string("\n"), std::string(513, 'x'),
        std::string("a\0b", 3)}) {
    WriteFileOrDie(options_.password_file, bad);
    EXPECT_TRUE(absl::IsInvalidArgument(OpenStore(options_).status()));
  }
  options_.password_file = redis_.folder() + "/nothing";
  EXPECT_THAT(std::string(OpenStore(options_).status().message()),
              HasSubstr("No such file"));
}

// A server with TLS at a port of the loopback interface.
class RedisTlsTest : public ::testing::Test {
 protected:
  RedisTlsTest() {
    const TestCertificate server = NewCertificate(authority_);
    Write("ca.pem", authority_.cert);
    Write("cert.pem", server.cert);
    Write("key.pem", server.key);
  }

  void Write(const std::string& name, const std::string& text) {
    WriteFileOrDie(PathOf(name), text);
  }
  std::string PathOf(const std::string& name) const {
    return folder_.path() + "/" + name;
  }

  RedisOptions Start(const std::string& auth_clients) {
    const int port = FreePort();
    redis_ = std::make_unique<RedisProcess>(std::vector<std::string>{
        "--tls-port", absl::StrCat(port), "--bind", "127.0.0.1",
        "--tls-cert-file", PathOf("cert.pem"), "--tls-key-file",
        PathOf("key.pem"), "--tls-ca-cert-file", PathOf("ca.pem"),
        "--tls-auth-clients", auth_clients});
    RedisOptions options;
    options.host = "127.0.0.1";
    options.port = port;
    options.has_tls = true;
    options.ca = PathOf("ca.pem");
    return options;
  }

  const TestCertificate authority_ = NewAuthority("authority");
  ShortFolder folder_;
  std::unique_ptr<RedisProcess> redis_;
};

TEST_F(RedisTlsTest, ServerMustHaveACertificateForItsName) {
  RedisOptions options = Start("no");
  EXPECT_TRUE(IsUsable(options));
  options.server_name = "localhost";
  EXPECT_TRUE(IsUsable(options));
  options.server_name = "other.example";
  EXPECT_FALSE(IsUsable(options));
  options.server_name = "127.0.0.2";
  EXPECT_FALSE(IsUsable(options));
}

TEST_F(RedisTlsTest, ServerOfAnotherAuthorityIsRefused) {
  RedisOptions options = Start("no");
  Write("other.pem", NewAuthority("other").cert);
  options.ca = PathOf("other.pem");
  EXPECT_FALSE(IsUsable(options));
  options.ca = "";  // the system's authorities
  EXPECT_FALSE(IsUsable(options));
}

TEST_F(RedisTlsTest, ClientCertificateIsSent) {
  RedisOptions options = Start("yes");
  EXPECT_FALSE(IsUsable(options));
  const TestCertificate client = NewCertificate(authority_);
  Write("client.pem", client.cert);
  Write("client.key", client.key);
  options.cert = PathOf("client.pem");
  options.key = PathOf("client.key");
  EXPECT_TRUE(IsUsable(options));
}

TEST_F(RedisTlsTest, PlainTextAndTlsDoNotMix) {
  RedisOptions options = Start("no");
  options.timeout = absl::Seconds(1);
  options.has_tls = false;
  EXPECT_FALSE(IsUsable(options));
  options = redis_->options();  // its socket has no TLS
  options.has_tls = true;
  options.timeout = absl::Seconds(1);
  options.server_name = "localhost";
  options.ca = PathOf("ca.pem");
  EXPECT_FALSE(IsUsable(options));
}

TEST_F(RedisTlsTest, LargeStatesAreTransferred) {
  const RedisOptions options = Start("no");
  const auto store =
      RedisStateStore::Open(options, 100 << 20, StoreTime::Now());
  std::string bytes(10 << 20, 'x');
  for (size_t i = 0; i < bytes.size(); i += 997) {
    bytes[i] = static_cast<char>(i);
  }
  const StoreTime now = StoreTime::Now();
  const auto handle = (*store)->Put(bytes, now, absl::Minutes(5));
  ASSERT_TRUE(handle.ok()) << handle.status();
  EXPECT_EQ(**(*store)->Get(*handle, now, 10 << 20), bytes);
}

TEST_F(RedisTlsTest, BadFilesStopTheStart) {
  RedisOptions options = Start("no");
  const std::string ca = options.ca;
  Write("bad.pem", "no certificate");
  for (const std::string& path : {PathOf("bad.pem"), PathOf("nothing"),
                                  folder_.path(), std::string("/dev/zero")}) {
    options.ca = path;
    EXPECT_THAT(std::string(OpenStore(options).status().message()),
                HasSubstr("--state_store_ca: "));
    options.ca = ca;
    options.cert = path;
    options.key = PathOf("key.pem");
    EXPECT_THAT(std::string(OpenStore(options).status().message()),
                HasSubstr("--state_store_cert: "));
    options.cert = PathOf("cert.pem");
    options.key = path;
    EXPECT_THAT(std::string(OpenStore(options).status().message()),
                HasSubstr("--state_store_key: "));
    options.cert = options.key = "";
  }
  // An encrypted key: nobody is asked for a passphrase.
  const TestCertificate client = NewCertificate(authority_);
  Write("client.pem", client.cert);
  Write("client.key", EncryptKey(client.key));
  options.cert = PathOf("client.pem");
  options.key = PathOf("client.key");
  EXPECT_THAT(std::string(OpenStore(options).status().message()),
              HasSubstr("--state_store_key: "));
}

// A server at a Unix socket that answers whatever it receives with the next
// one of `answers`, on one connection after the other. After the last one it
// ends the connection, or with `stalls` it says nothing more.
class FakeRedis {
 public:
  explicit FakeRedis(std::vector<std::string> answers, bool stalls = false)
      : answers_(std::move(answers)),
        stalls_(stalls),
        listener_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path().copy(address.sun_path, sizeof(address.sun_path) - 1);
    RWKVD_CHECK(bind(listener_.get(),
                     reinterpret_cast<const sockaddr*>(&address),
                     sizeof(address)) == 0);
    RWKVD_CHECK(listen(listener_.get(), 5) == 0);
    thread_ = std::thread([this] { Serve(); });
  }
  ~FakeRedis() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

  RedisOptions options() const {
    RedisOptions options;
    options.unix_path = path();
    options.timeout = absl::Milliseconds(500);
    return options;
  }

 private:
  std::string path() const { return folder_.path() + "/socket"; }

  void Serve() {
    size_t next = 0;
    std::vector<OwnedFd> held;
    while (true) {
      OwnedFd connection(accept(listener_.get(), nullptr, nullptr));
      if (!connection.valid()) return;
      char buffer[64 << 10];
      while (next < answers_.size() &&
             recv(connection.get(), buffer, sizeof(buffer), 0) > 0) {
        const std::string& answer = answers_[next++];
        send(connection.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
      }
      if (stalls_) held.push_back(std::move(connection));
    }
  }

  ShortFolder folder_;
  const std::vector<std::string> answers_;
  const bool stalls_;
  OwnedFd listener_;
  std::thread thread_;
};

// The answer to the commands of Check.
constexpr char kChecked[] = "+OK\r\n*4\r\n:0\r\n:0\r\n:0\r\n:0\r\n";

std::optional<ErrorReason> ReasonOfGet(RedisStateStore& store) {
  const StoreTime now = StoreTime::Now();
  const std::string handle = NewStateHandle(now.system + absl::Hours(1));
  return ReasonOf(store.Get(handle, now, 100).status());
}

TEST(FakeRedisTest, RepliesThatAreNoneAreFailures) {
  for (const std::string& answer :
       {std::string("garbage"), std::string("HTTP/1.1 400 Bad Request\r\n"),
        std::string("$x\r\n"), std::string("$-7\r\n"),
        std::string("*99999999999\r\n"), std::string("$3\r\nabcd\r\n"),
        std::string("+OK\r\n"), std::string(":5\r\n"), std::string("*0\r\n"),
        std::string("-ERR \x1b[31m red\r\n"), std::string(10'000, '+'),
        std::string("$10\r\nabc"), std::string("$3"), std::string("\r\n")}) {
    FakeRedis redis({kChecked, answer});
    const auto store = OpenStore(redis.options());
    ASSERT_TRUE((*store)->figures().is_usable);
    EXPECT_EQ(ReasonOfGet(**store), ErrorReason::kStateStoreFailed) << answer;
    EXPECT_FALSE((*store)->figures().is_usable);
  }
}

TEST(FakeRedisTest, SizeBeyondTheLimitIsRefusedBeforeItIsRead) {
  FakeRedis redis({kChecked, "$9223372036854775807\r\n"}, true);
  const auto store = OpenStore(redis.options());
  EXPECT_EQ(ReasonOfGet(**store), ErrorReason::kSavedStateDamaged);
}

TEST(FakeRedisTest, ScriptResultsThatAreNoneAreFailures) {
  for (const char* answer :
       {"*3\r\n:0\r\n:0\r\n:0\r\n", "*0\r\n", "+OK\r\n", "$-1\r\n", ":0\r\n",
        "-NOPERM this user has no permissions\r\n",
        "-READONLY You can't write against a read only replica.\r\n"}) {
    FakeRedis redis({kChecked, answer});
    const auto store = OpenStore(redis.options());
    const auto handle =
        (*store)->Put("state", StoreTime::Now(), absl::Minutes(5));
    EXPECT_EQ(ReasonOf(handle.status()), ErrorReason::kStateStoreFailed)
        << answer;
  }
}

TEST(FakeRedisTest, ServerThatSaysNothingMoreCostsOneTimeout) {
  FakeRedis redis({kChecked, "$10\r\nabc"}, true);
  const auto store = OpenStore(redis.options());
  const absl::Time begin = MonotonicNow();
  EXPECT_EQ(ReasonOfGet(**store), ErrorReason::kStateStoreFailed);
  EXPECT_GE(MonotonicNow() - begin, absl::Milliseconds(500));
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(ReasonOfGet(**store), ErrorReason::kStateStoreFailed);
  }
  // A thousand timeouts would take eight minutes.
  EXPECT_LT(MonotonicNow() - begin, absl::Minutes(1));
}

TEST(RedisErrorTextTest, DoesNotRepeatTheCommand) {
  RedisReply error;
  error.text = "ERR unknown command 'GET', with args beginning with: 'handle'";
  EXPECT_EQ(RedisErrorText(error), "ERR unknown command 'GET'");
  error.text = "ERR \x1b[31m" + std::string(1000, 'x');
  EXPECT_LE(RedisErrorText(error).size(), 300u);
  EXPECT_EQ(RedisErrorText(error).find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace rwkvd
