// SPDX-License-Identifier: Apache-2.0
#include "core/base/thread_placement.h"

#include <unistd.h>

namespace rwkvd {
namespace {

// The minimum time between moves. A move costs some microseconds, and the moved
// thread needs about as long to resume.
constexpr std::chrono::microseconds kMoveInterval(100);

}  // namespace

void ThreadPlacement::Register(int thread) {
  threads_[thread].id.store(gettid(), std::memory_order_relaxed);
  RecordProcessor(thread);
}

void ThreadPlacement::RecordProcessor(int thread) {
  std::atomic<int>& processor = threads_[thread].processor;
  const int now = sched_getcpu();  // usually no system call
  // Other threads read it often, so the cache line is written only if needed.
  if (processor.load(std::memory_order_relaxed) != now) {
    processor.store(now, std::memory_order_relaxed);
  }
}

bool ThreadPlacement::SharesProcessor(int one, int other) const {
  const int processor = threads_[one].processor.load(std::memory_order_relaxed);
  return processor != kUnknown &&
         processor == threads_[other].processor.load(std::memory_order_relaxed);
}

bool ThreadPlacement::IsShared(int thread) const {
  for (int i = 0; i < static_cast<int>(threads_.size()); ++i) {
    if (i != thread && SharesProcessor(thread, i)) return true;
  }
  return false;
}

void ThreadPlacement::Spread() {
  cpu_set_t occupied;
  CPU_ZERO(&occupied);
  Thread* sharing = nullptr;
  for (Thread& thread : threads_) {
    const int processor = thread.processor.load(std::memory_order_relaxed);
    if (processor < 0 || processor >= CPU_SETSIZE) continue;
    if (CPU_ISSET(processor, &occupied)) sharing = &thread;
    CPU_SET(processor, &occupied);
  }
  if (sharing == nullptr) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_move_) return;
  next_move_ = now + kMoveInterval;
  Move(*sharing, occupied);
}

void ThreadPlacement::Move(Thread& thread, const cpu_set_t& occupied) {
  const pid_t id = thread.id.load(std::memory_order_relaxed);
  cpu_set_t allowed;
  if (id == 0 || sched_getaffinity(id, sizeof(allowed), &allowed) != 0) return;
  cpu_set_t free;
  CPU_ZERO(&free);
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &allowed) && !CPU_ISSET(i, &occupied)) CPU_SET(i, &free);
  }
  if (CPU_COUNT(&free) == 0) return;
  // Reset before the move, so as not to overwrite what the thread records after
  // it.
  thread.processor.store(kUnknown, std::memory_order_relaxed);
  sched_setaffinity(id, sizeof(free), &free);
  sched_setaffinity(id, sizeof(allowed), &allowed);
}

}  // namespace rwkvd
