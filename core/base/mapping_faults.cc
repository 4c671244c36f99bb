// SPDX-License-Identifier: Apache-2.0
#include "core/base/mapping_faults.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "core/base/check.h"

namespace rwkvd {
namespace {

// A slot is free while `used` is false. `begin` is set last and cleared first,
// so that the handler never sees half an entry.
struct Slot {
  std::atomic<bool> used{false};
  std::atomic<uintptr_t> begin{0};  // 0: no mapping
  std::atomic<uintptr_t> end{0};
  std::atomic<const char*> path{nullptr};
  std::atomic<bool> lost{false};
};

// All of these are used by a signal handler, so they need no construction and
// no lock.
constinit Slot slots[MappingRegistration::kMaxMappings];
constinit std::atomic<int64_t> num_lost{0};
constinit std::atomic<FaultAction> fault_action{FaultAction::kExit};
struct sigaction previous_action;

static_assert(std::atomic<uintptr_t>::is_always_lock_free &&
              std::atomic<FaultAction>::is_always_lock_free);

Slot* SlotAt(uintptr_t address) {
  for (Slot& slot : slots) {
    const uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    if (begin != 0 && begin <= address &&
        address < slot.end.load(std::memory_order_relaxed)) {
      return &slot;
    }
  }
  return nullptr;
}

// Zeros that are only read need no memory.
bool ReplaceByZeros(Slot& slot) {
  const uintptr_t begin = slot.begin.load(std::memory_order_relaxed);
  const uintptr_t end = slot.end.load(std::memory_order_relaxed);
  if (mmap(reinterpret_cast<void*>(begin), end - begin, PROT_READ,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
           0) == MAP_FAILED) {
    return false;
  }
  if (!slot.lost.exchange(true)) num_lost.fetch_add(1);
  return true;
}

void WriteText(const char* text) {
  // There is nothing left to do if this fails.
  if (write(STDERR_FILENO, text, std::strlen(text)) < 0) return;
}

[[noreturn]] void ExitNaming(const Slot& slot) {
  WriteText(slot.path.load(std::memory_order_relaxed));
  WriteText(
      ": the mapped file cannot be read any more: another process has "
      "truncated it, or the disk has failed\n");
  _exit(1);
}

// Does with the signal what the process would have done without this handler.
void PassOn(int signal, siginfo_t* info, void* context) {
  if ((previous_action.sa_flags & SA_SIGINFO) != 0) {
    previous_action.sa_sigaction(signal, info, context);
  } else if (previous_action.sa_handler == SIG_DFL) {
    // The faulting instruction runs again and ends the process.
    sigaction(signal, &previous_action, nullptr);
    if (info->si_code <= 0) raise(signal);
  } else if (previous_action.sa_handler != SIG_IGN) {
    previous_action.sa_handler(signal);
  }
}

void OnBusError(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  // Only faults have an address; si_code is not positive if a process has sent
  // the signal.
  Slot* const slot = info->si_code > 0
                         ? SlotAt(reinterpret_cast<uintptr_t>(info->si_addr))
                         : nullptr;
  if (slot == nullptr) {
    PassOn(signal, info, context);
  } else if (fault_action.load() == FaultAction::kExit ||
             !ReplaceByZeros(*slot)) {
    ExitNaming(*slot);
  }
  errno = saved_errno;
}

}  // namespace

void InstallMappingFaultHandler(FaultAction action) {
  fault_action = action;
  struct sigaction handler = {};
  handler.sa_sigaction = &OnBusError;
  handler.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&handler.sa_mask);
  RWKVD_CHECK(sigaction(SIGBUS, nullptr, &previous_action) == 0);
  RWKVD_CHECK(sigaction(SIGBUS, &handler, nullptr) == 0);
}

int64_t NumLostMappings() { return num_lost.load(std::memory_order_acquire); }

std::optional<MappingRegistration> MappingRegistration::Register(
    const void* begin, size_t size, const char* path) {
  for (int i = 0; i < kMaxMappings; ++i) {
    Slot& slot = slots[i];
    if (slot.used.exchange(true)) continue;
    const auto address = reinterpret_cast<uintptr_t>(begin);
    slot.lost = false;
    slot.path = path;
    slot.end = address + size;
    slot.begin.store(address, std::memory_order_release);
    return MappingRegistration(i);
  }
  return std::nullopt;
}

MappingRegistration::~MappingRegistration() {
  if (slot_ < 0) return;
  slots[slot_].begin = 0;
  slots[slot_].used = false;
}

bool MappingRegistration::is_lost() const {
  return slots[slot_].lost.load(std::memory_order_acquire);
}

}  // namespace rwkvd
