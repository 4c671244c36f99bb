// SPDX-License-Identifier: Apache-2.0
#include "core/base/thread_placement.h"

#include <unistd.h>

namespace rwkvd {
namespace {

// A move costs some microseconds; a thread that was moved needs about as long
// to arrive.
constexpr std::chrono::microseconds kBetweenMoves(100);

}  // namespace

void ThreadPlacement::Enter(int thread) {
  threads_[thread].id.store(gettid(), std::memory_order_relaxed);
  Note(thread);
}

void ThreadPlacement::Note(int thread) {
  std::atomic<int>& processor = threads_[thread].processor;
  const int now = sched_getcpu();  // a read of memory, as a rule
  // Others read it all the time: no write that changes nothing.
  if (processor.load(std::memory_order_relaxed) != now) {
    processor.store(now, std::memory_order_relaxed);
  }
}

bool ThreadPlacement::Share(int one, int other) const {
  const int processor = threads_[one].processor.load(std::memory_order_relaxed);
  return processor != kUnknown &&
         processor == threads_[other].processor.load(std::memory_order_relaxed);
}

bool ThreadPlacement::IsShared(int thread) const {
  for (int i = 0; i < static_cast<int>(threads_.size()); ++i) {
    if (i != thread && Share(thread, i)) return true;
  }
  return false;
}

void ThreadPlacement::MoveApart() {
  cpu_set_t taken;
  CPU_ZERO(&taken);
  Thread* sharing = nullptr;
  for (Thread& thread : threads_) {
    const int processor = thread.processor.load(std::memory_order_relaxed);
    if (processor < 0 || processor >= CPU_SETSIZE) continue;
    if (CPU_ISSET(processor, &taken)) sharing = &thread;
    CPU_SET(processor, &taken);
  }
  if (sharing == nullptr) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_move_) return;
  next_move_ = now + kBetweenMoves;
  Move(*sharing, taken);
}

void ThreadPlacement::Move(Thread& thread, const cpu_set_t& taken) {
  const pid_t id = thread.id.load(std::memory_order_relaxed);
  cpu_set_t allowed;
  if (id == 0 || sched_getaffinity(id, sizeof(allowed), &allowed) != 0) return;
  cpu_set_t free;
  CPU_ZERO(&free);
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &allowed) && !CPU_ISSET(i, &taken)) CPU_SET(i, &free);
  }
  if (CPU_COUNT(&free) == 0) return;
  // Before the thread can note where it arrives.
  thread.processor.store(kUnknown, std::memory_order_relaxed);
  sched_setaffinity(id, sizeof(free), &free);
  sched_setaffinity(id, sizeof(allowed), &allowed);
}

}  // namespace rwkvd
