// SPDX-License-Identifier: Apache-2.0
#include "service/line_queue.h"

#include <signal.h>

#include <utility>

#include "core/base/monotonic_clock.h"

namespace rwkvd {
namespace {

// A thread that handles no signals: they are for the threads that wait for
// them.
template <typename Function>
std::thread StartWithoutSignals(Function function) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread;
  try {
    thread = std::thread(std::move(function));
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace

LineQueue::LineQueue(std::function<void(absl::string_view bytes)> write,
                     std::function<void(int64_t num_lines)> report_dropped)
    : write_(std::move(write)),
      report_dropped_(std::move(report_dropped)),
      thread_(StartWithoutSignals([this] { Run(); })) {}

LineQueue::~LineQueue() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  thread_.join();
}

void LineQueue::Push(absl::string_view line) {
  absl::MutexLock lock(&mutex_);
  if (line.size() > kMaxBytes - waiting_.size()) {
    ++num_dropped_;
    return;
  }
  // At once, so that the string never has more capacity.
  waiting_.reserve(kMaxBytes);
  waiting_.append(line.data(), line.size());
}

void LineQueue::Flush(absl::Duration time) {
  PollUntil(
      [this] {
        absl::MutexLock lock(&mutex_);
        return waiting_.empty() && !is_writing_;
      },
      time);
}

int64_t LineQueue::num_dropped() const {
  absl::MutexLock lock(&mutex_);
  return num_dropped_;
}

void LineQueue::Run() {
  const auto has_work = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return stop_ || !waiting_.empty();
  };
  std::string writing;
  int64_t num_reported = 0;
  while (true) {
    int64_t num_dropped;
    {
      absl::MutexLock lock(&mutex_);
      is_writing_ = false;
      mutex_.Await(absl::Condition(&has_work));
      if (waiting_.empty()) return;
      writing.clear();
      writing.swap(waiting_);
      is_writing_ = true;
      num_dropped = num_dropped_;
    }
    write_(writing);
    if (num_dropped == num_reported) continue;
    report_dropped_(num_dropped - num_reported);
    num_reported = num_dropped;
  }
}

}  // namespace rwkvd
