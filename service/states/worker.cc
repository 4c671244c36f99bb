// SPDX-License-Identifier: Apache-2.0
#include "service/states/worker.h"

#include <utility>

#include "core/base/exceptions.h"

namespace rwkvd {

Worker::Worker() : thread_([this] { Run(); }) {}

Worker::~Worker() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  thread_.join();
}

void Worker::Do(absl::AnyInvocable<void()> task) {
  absl::MutexLock lock(&mutex_);
  tasks_.push_back(std::move(task));
}

void Worker::Do(absl::AnyInvocable<absl::Status()> task,
                absl::AnyInvocable<void(const absl::Status&)> done) {
  Do([task = std::move(task), done = std::move(done)]() mutable {
    done(CatchExceptions(task));
  });
}

void Worker::Run() {
  const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stop_ || !tasks_.empty();
  };
  while (true) {
    absl::AnyInvocable<void()> task;
    {
      absl::MutexLock lock(&mutex_, absl::Condition(&has_work));
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace rwkvd
