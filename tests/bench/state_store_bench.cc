// SPDX-License-Identifier: Apache-2.0
// How long the stores take to save and to return a state of 33 MB: a directory
// of the temporary files, and a redis-server of this host, through its Unix
// socket and with TLS. The stores take turns, so that all of them meet the same
// machine.
//
// Run with: bazel run -c opt //tests/bench:state_store_bench [-- MEGABYTES]

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/base/check.h"
#include "core/base/monotonic_clock.h"
#include "service/states/directory_state_store.h"
#include "service/states/memory_state_store.h"
#include "service/states/redis_state_store.h"
#include "tests/service/listener/test_certificates.h"
#include "tests/service/states/redis_process.h"
#include "tests/testing/fixtures.h"

namespace rwkvd::bench {
namespace {

constexpr int kRounds = 15;
constexpr int64_t kMaxBytes = int64_t{4} << 30;

// One store, and the times of its accesses.
struct Measured {
  std::string name;
  std::unique_ptr<StateStore> store;
  std::vector<absl::Duration> put, get;
};

absl::Duration Median(std::vector<absl::Duration> times) {
  std::nth_element(times.begin(), times.begin() + kRounds / 2, times.end());
  return times[kRounds / 2];
}

void Access(const std::string& bytes, Measured* measured) {
  const StoreTime now = StoreTime::Now();
  std::string copy = bytes;
  absl::Time begin = MonotonicNow();
  const auto handle =
      measured->store->Put(std::move(copy), now, absl::Minutes(5));
  measured->put.push_back(MonotonicNow() - begin);
  RWKVD_CHECK(handle.ok());
  begin = MonotonicNow();
  const auto got = measured->store->Get(*handle, now, kMaxBytes);
  measured->get.push_back(MonotonicNow() - begin);
  RWKVD_CHECK(got.ok() && **got == bytes);
  RWKVD_CHECK(measured->store->Delete(*handle, now).ok());
}

std::unique_ptr<StateStore> OpenRedis(const RedisOptions& options) {
  auto store = RedisStateStore::Open(options, kMaxBytes, StoreTime::Now());
  RWKVD_CHECK(store.ok());
  return *std::move(store);
}

void Print(const std::vector<Measured>& stores) {
  const absl::Duration put = Median(stores[0].put);
  const absl::Duration get = Median(stores[0].get);
  std::printf("%-12s %9s %9s %9s %9s\n", "", "put, ms", "ratio", "get, ms",
              "ratio");
  for (const Measured& measured : stores) {
    const absl::Duration its_put = Median(measured.put);
    const absl::Duration its_get = Median(measured.get);
    std::printf(
        "%-12s %9.1f %9.2f %9.1f %9.2f\n", measured.name.c_str(),
        absl::ToDoubleMilliseconds(its_put), absl::FDivDuration(its_put, put),
        absl::ToDoubleMilliseconds(its_get), absl::FDivDuration(its_get, get));
  }
}

int Main(int argc, char** argv) {
  int megabytes = 33;
  if (argc > 2 || (argc == 2 && !absl::SimpleAtoi(argv[1], &megabytes)) ||
      megabytes < 1 || megabytes > 500) {
    std::fprintf(stderr, "state_store_bench: expected 1 to 500 megabytes\n");
    return 1;
  }
  const std::string folder = testing::MakeTempDirectory();
  const TestCertificate authority = NewAuthority("authority");
  const TestCertificate server = NewCertificate(authority);
  testing::WriteFileOrDie(folder + "/ca", authority.cert);
  testing::WriteFileOrDie(folder + "/cert", server.cert);
  testing::WriteFileOrDie(folder + "/key", server.key);
  const int port = FreePort();
  const RedisProcess redis(
      {"--bind", "127.0.0.1", "--tls-port", absl::StrCat(port),
       "--tls-auth-clients", "no", "--tls-ca-cert-file", folder + "/ca",
       "--tls-cert-file", folder + "/cert", "--tls-key-file", folder + "/key"});
  RedisOptions tls;
  tls.host = "127.0.0.1";
  tls.port = port;
  tls.has_tls = true;
  tls.ca = folder + "/ca";

  std::vector<Measured> stores(4);
  auto directory = DirectoryStateStore::Open(folder + "/states", kMaxBytes,
                                             StoreTime::Now());
  RWKVD_CHECK(directory.ok());
  stores[0] = {"directory", *std::move(directory)};
  stores[1] = {"memory", std::make_unique<MemoryStateStore>(kMaxBytes)};
  stores[2] = {"redis, unix", OpenRedis(redis.options())};
  stores[3] = {"redis, TLS", OpenRedis(tls)};

  std::string bytes(static_cast<size_t>(megabytes) * 1'000'000, '\0');
  std::mt19937 random(1);
  for (char& byte : bytes) byte = static_cast<char>(random());
  for (int round = 0; round < kRounds; ++round) {
    for (Measured& measured : stores) Access(bytes, &measured);
  }
  std::printf("a state of %d MB, medians of %d\n", megabytes, kRounds);
  Print(stores);
  return 0;
}

}  // namespace
}  // namespace rwkvd::bench

int main(int argc, char** argv) { return rwkvd::bench::Main(argc, argv); }
