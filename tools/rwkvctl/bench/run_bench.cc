// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/bench/run_bench.h"

#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tools/rwkvctl/bench/run_request.h"

namespace rwkvd {
namespace {

// Limits the load on a server that rejects requests immediately.
constexpr absl::Duration kPauseAfterFailure = absl::Milliseconds(100);

// Assigns requests to clients. Thread-safe.
class Schedule {
 public:
  struct Item {
    uint64_t index;             // of the request in the workload
    std::optional<double> due;  // seconds since the start; nullopt: now
  };

  explicit Schedule(const BenchOptions& options)
      : open_(options.is_open()),
        requests_(options.requests > 0 ? static_cast<uint64_t>(options.requests)
                                       : std::numeric_limits<uint64_t>::max()),
        seconds_(options.duration > absl::ZeroDuration()
                     ? absl::ToDoubleSeconds(options.duration)
                     : std::numeric_limits<double>::infinity()),
        arrivals_(options.rate, options.workload_seed) {}

  // The next request, or nullopt if there are no more.
  std::optional<Item> Next() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    if (next_ == requests_) return std::nullopt;
    Item item{next_++, std::nullopt};
    if (open_) item.due = arrivals_.Next();
    if (item.due.value_or(0) >= seconds_) return std::nullopt;
    return item;
  }

 private:
  const bool open_;
  const uint64_t requests_;
  const double seconds_;
  absl::Mutex mutex_;
  uint64_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  Arrivals arrivals_ ABSL_GUARDED_BY(mutex_);
};

SteadyTime After(SteadyTime begin, double seconds) {
  return begin + std::chrono::duration_cast<SteadyTime::duration>(
                     std::chrono::duration<double>(seconds));
}

// Sends the requests of one client, until there are no more.
void RunClient(const BenchOptions& options, const Workload& workload,
               const std::shared_ptr<grpc::Channel>& channel, SteadyTime begin,
               Schedule* schedule, Stopper* stopper,
               Measurements* measurements) {
  const auto stub = ::rwkv::v1::RwkvService::NewStub(channel);
  while (!stopper->stopped()) {
    const std::optional<Schedule::Item> item = schedule->Next();
    if (!item.has_value()) return;
    const ::rwkv::v1::GenerateRequest request = workload.Request(item->index);
    SteadyTime due = std::chrono::steady_clock::now();
    if (item->due.has_value()) {
      due = After(begin, *item->due);
      if (stopper->Pause(absl::Seconds(-SecondsSince(due)))) return;
    }
    if (!RunRequest(*stub, request, due, options.timeout, stopper,
                    measurements) &&
        stopper->Pause(kPauseAfterFailure)) {
      return;
    }
  }
}

}  // namespace

BenchResult RunBench(const BenchOptions& options, const Workload& workload,
                     absl::Span<const std::shared_ptr<grpc::Channel>> channels,
                     Stopper* stopper) {
  Schedule schedule(options);
  std::vector<Measurements> seen(static_cast<size_t>(options.concurrency));
  std::vector<std::thread> clients;
  const SteadyTime begin = std::chrono::steady_clock::now();
  for (size_t i = 0; i < seen.size(); ++i) {
    clients.emplace_back([&, i] {
      RunClient(options, workload, channels[i % channels.size()], begin,
                &schedule, stopper, &seen[i]);
    });
  }
  std::thread timer([&] {
    if (options.duration > absl::ZeroDuration() &&
        !stopper->Pause(options.duration)) {
      stopper->Stop();
    }
  });
  for (std::thread& client : clients) client.join();
  BenchResult result;
  result.seconds = SecondsSince(begin);
  stopper->Stop();  // ends the timer's pause
  timer.join();
  for (const Measurements& client : seen) {
    result.measurements.Merge(client);
  }
  return result;
}

}  // namespace rwkvd
