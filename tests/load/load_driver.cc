// SPDX-License-Identifier: Apache-2.0
// load_driver --server=HOST:PORT --clients=N --duration=TIME --seed=N
//
// Sends each of a number of requests alone. Then many clients send them at the
// same time, again and again: they read fast or slowly, cancel, have deadlines,
// or lose their connections. Every answer is compared with the answer alone.
// Finally each request is sent alone once more. Prints a report as one JSON
// object; the exit code is 1 if anything was wrong.
//
// --patience=TIME is for a server that others abuse: clients only read, fast or
// slowly, and for this time send a request again for which the server has no
// resources.

#include <cstdio>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/command_line.h"
#include "cli/grpc_status.h"
#include "nlohmann/json.hpp"
#include "tests/load/load_answer.h"
#include "tests/load/load_client.h"
#include "tests/load/load_requests.h"

ABSL_FLAG(std::string, server, "127.0.0.1:50051", "Address of rwkvd.");
ABSL_FLAG(int32_t, clients, 200, "Number of concurrent clients.");
ABSL_FLAG(int32_t, requests, 48, "Number of different requests.");
ABSL_FLAG(absl::Duration, duration, absl::Seconds(10),
          "Time during which clients start requests.");
ABSL_FLAG(absl::Duration, patience, absl::ZeroDuration(),
          "Time during which a request that ends with RESOURCE_EXHAUSTED or "
          "UNAVAILABLE is sent again.");
ABSL_FLAG(uint64_t, seed, 1, "Seed of requests and behaviors.");

namespace rwkvd::testing {
namespace {

constexpr int kConnections = 8;
constexpr size_t kMaxProblems = 20;

// Counts of what happened. Thread-safe.
class Tally {
 public:
  void Add(const Behavior& behavior, const LoadAnswer& answer,
           const std::string& wrong) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    ++requests_;
    tokens_ += answer.tokens.size();
    ++endings_[NameOf(behavior.kind)]
              [rwkvd::NameOf(answer.status.error_code())];
    if (wrong.empty()) return;
    ++wrong_;
    if (problems_.size() < kMaxProblems) problems_.push_back(wrong);
  }

  nlohmann::json ToJson() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return {{"requests", requests_},
            {"tokens", tokens_},
            {"endings", endings_},
            {"wrong", wrong_},
            {"problems", problems_}};
  }

  bool all_right() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return wrong_ == 0;
  }

 private:
  mutable absl::Mutex mutex_;
  int64_t requests_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t wrong_ ABSL_GUARDED_BY(mutex_) = 0;
  // Counts by behavior and status.
  std::map<std::string, std::map<std::string, int64_t>> endings_
      ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> problems_ ABSL_GUARDED_BY(mutex_);
};

class Load {
 public:
  Load()
      : client_(absl::GetFlag(FLAGS_server), kConnections),
        requests_(LoadRequests(client_.model(), absl::GetFlag(FLAGS_requests),
                               absl::GetFlag(FLAGS_seed))) {}

  // Sends each request alone. The first time, keeps the answers to compare
  // with.
  void AskAlone() {
    std::mt19937_64 random(absl::GetFlag(FLAGS_seed));
    const bool first = alone_.empty();
    for (size_t i = 0; i < requests_.size(); ++i) {
      LoadAnswer answer = AskPatiently(i, Behavior(), random);
      if (first) alone_.push_back(answer);
      Count(i, Behavior(), answer);
    }
  }

  void AskTogether() {
    const absl::Time end = absl::Now() + absl::GetFlag(FLAGS_duration);
    std::vector<std::thread> clients;
    for (int i = 0; i < absl::GetFlag(FLAGS_clients); ++i) {
      clients.emplace_back([this, i, end] {
        std::seed_seq seed{absl::GetFlag(FLAGS_seed), uint64_t(i) + 1};
        std::mt19937_64 random(seed);
        while (absl::Now() < end) AskSomething(random);
      });
    }
    for (std::thread& client : clients) client.join();
  }

  const Tally& tally() const { return tally_; }

 private:
  void AskSomething(std::mt19937_64& random) {
    const size_t i = random() % requests_.size();
    const Behavior behavior = SomeBehavior(random);
    Count(i, behavior, AskPatiently(i, behavior, random));
  }

  // The statuses after which clients send a request again.
  static bool MaySucceedLater(const LoadAnswer& answer) {
    const grpc::StatusCode code = answer.status.error_code();
    return code == grpc::StatusCode::RESOURCE_EXHAUSTED ||
           code == grpc::StatusCode::UNAVAILABLE;
  }

  // Sends a request again while the server has no resources for it, and counts
  // what it received until then.
  LoadAnswer AskPatiently(size_t i, const Behavior& behavior,
                          std::mt19937_64& random) {
    const absl::Time last = absl::Now() + absl::GetFlag(FLAGS_patience);
    while (true) {
      LoadAnswer answer = client_.Ask(requests_[i], behavior, random);
      if (!MaySucceedLater(answer) || absl::Now() >= last) return answer;
      if (i < alone_.size()) Count(i, {Behavior::Kind::kRefused}, answer);
      absl::SleepFor(answer.retry_after);
    }
  }

  static Behavior SomeBehavior(std::mt19937_64& random) {
    if (absl::GetFlag(FLAGS_patience) == absl::ZeroDuration()) {
      return RandomBehavior(random);
    }
    return {random() % 4 == 0 ? Behavior::Kind::kSlow : Behavior::Kind::kPlain};
  }

  void Count(size_t i, const Behavior& behavior, const LoadAnswer& answer) {
    const std::string wrong = FindProblem(alone_[i], answer, behavior.kind);
    tally_.Add(behavior, answer,
               wrong.empty()
                   ? ""
                   : absl::StrCat("request ", i, ", ", NameOf(behavior.kind),
                                  " ", behavior.amount, ": ", wrong));
  }

  const LoadClient client_;
  const std::vector<::rwkv::v1::GenerateRequest> requests_;
  std::vector<LoadAnswer> alone_;
  Tally tally_;
};

int Main(const std::vector<std::string>& arguments) {
  const absl::string_view files[] = {"tests/load/load_driver.cc"};
  const absl::StatusOr<CommandLine> line = ParseCommandLine(arguments, files);
  if (!line.ok() || line->help || !line->arguments.empty()) {
    std::fprintf(stderr, "%s\n%s", line.status().ToString().c_str(),
                 DescribeFlags(files).c_str());
    return 2;
  }
  Load load;
  load.AskAlone();
  load.AskTogether();
  load.AskAlone();
  std::printf("%s\n", load.tally().ToJson().dump().c_str());
  return load.tally().all_right() ? 0 : 1;
}

}  // namespace
}  // namespace rwkvd::testing

int main(int argc, char** argv) {
  return rwkvd::testing::Main({argv + 1, argv + argc});
}
