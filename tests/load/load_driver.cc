// SPDX-License-Identifier: Apache-2.0
// load_driver --server=HOST:PORT --clients=N --duration=TIME --seed=N
//
// First asks each of some requests alone. Then many clients ask them at once,
// again and again: they read fast or slowly, cancel, have deadlines, or lose
// their connections. Every answer is compared with the one alone. At last each
// is asked alone once more. Prints what happened as one JSON object; the exit
// code is 1 if anything was wrong.

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

ABSL_FLAG(std::string, server, "127.0.0.1:50051", "Where rwkvd listens.");
ABSL_FLAG(int32_t, clients, 200, "How many ask at the same time.");
ABSL_FLAG(int32_t, requests, 48, "How many different requests there are.");
ABSL_FLAG(absl::Duration, duration, absl::Seconds(10),
          "How long clients begin new requests.");
ABSL_FLAG(uint64_t, seed, 1, "Decides on requests and behaviors.");

namespace rwkvd::testing {
namespace {

constexpr int kConnections = 8;
constexpr size_t kMaxComplaints = 20;

// What happened. Thread-safe.
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
    if (complaints_.size() < kMaxComplaints) complaints_.push_back(wrong);
  }

  nlohmann::json ToJson() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return {{"requests", requests_},
            {"tokens", tokens_},
            {"endings", endings_},
            {"wrong", wrong_},
            {"complaints", complaints_}};
  }

  bool all_well() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return wrong_ == 0;
  }

 private:
  mutable absl::Mutex mutex_;
  int64_t requests_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t wrong_ ABSL_GUARDED_BY(mutex_) = 0;
  // By behavior and status.
  std::map<std::string, std::map<std::string, int64_t>> endings_
      ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> complaints_ ABSL_GUARDED_BY(mutex_);
};

class Load {
 public:
  Load()
      : client_(absl::GetFlag(FLAGS_server), kConnections),
        requests_(LoadRequests(client_.model(), absl::GetFlag(FLAGS_requests),
                               absl::GetFlag(FLAGS_seed))) {}

  // What each request is answered alone; the first time, it is remembered.
  void AskAlone() {
    std::mt19937_64 random(absl::GetFlag(FLAGS_seed));
    const bool first = alone_.empty();
    for (size_t i = 0; i < requests_.size(); ++i) {
      LoadAnswer answer = client_.Ask(requests_[i], Behavior(), random);
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
    const Behavior behavior = DrawBehavior(random);
    Count(i, behavior, client_.Ask(requests_[i], behavior, random));
  }

  void Count(size_t i, const Behavior& behavior, const LoadAnswer& answer) {
    const std::string wrong = WhatIsWrong(alone_[i], answer, behavior.kind);
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
  return load.tally().all_well() ? 0 : 1;
}

}  // namespace
}  // namespace rwkvd::testing

int main(int argc, char** argv) {
  return rwkvd::testing::Main({argv + 1, argv + argc});
}
