// SPDX-License-Identifier: Apache-2.0
// Reports the synchronization in the system's Abseil to the thread sanitizer.
//
// The system's Abseil is not instrumented, so the sanitizer would report
// correctly locked accesses as races. The linker (--wrap, in .bazelrc) replaces
// our calls of the functions below by these wrappers, which report the order of
// events and call the original functions. Only one of the waits with a deadline
// is wrapped; tests that use another one need a wrapper first.

extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}

namespace {

// Disables the sanitizer on this thread during a call of the library, whose own
// accesses follow rules that the sanitizer does not know.
class IgnoreAccesses {
 public:
  IgnoreAccesses() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~IgnoreAccesses() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
};

}  // namespace

// Acquires the mutex `m`. Everything its last holder did happened before.
#define RWKVD_WRAP_LOCK(symbol)              \
  extern "C" void __real_##symbol(void* m);  \
  extern "C" void __wrap_##symbol(void* m) { \
    {                                        \
      IgnoreAccesses ignore;                 \
      __real_##symbol(m);                    \
    }                                        \
    __tsan_acquire(m);                       \
  }

#define RWKVD_WRAP_UNLOCK(symbol)            \
  extern "C" void __real_##symbol(void* m);  \
  extern "C" void __wrap_##symbol(void* m) { \
    __tsan_release(m);                       \
    IgnoreAccesses ignore;                   \
    __real_##symbol(m);                      \
  }

// Acquires the mutex `self` once the condition `what` is true.
#define RWKVD_WRAP_LOCK_WHEN(symbol)                        \
  extern "C" void __real_##symbol(void* self, void* what);  \
  extern "C" void __wrap_##symbol(void* self, void* what) { \
    {                                                       \
      IgnoreAccesses ignore;                                \
      __real_##symbol(self, what);                          \
    }                                                       \
    __tsan_acquire(self);                                   \
  }

// Releases the mutex `m` while waiting for `what`, and acquires it again.
#define RWKVD_WRAP_WAIT(symbol, m)                          \
  extern "C" void __real_##symbol(void* self, void* what);  \
  extern "C" void __wrap_##symbol(void* self, void* what) { \
    __tsan_release(m);                                      \
    {                                                       \
      IgnoreAccesses ignore;                                \
      __real_##symbol(self, what);                          \
    }                                                       \
    __tsan_acquire(m);                                      \
  }

// Has the layout of absl::Duration, to pass one as an argument.
struct Duration {
  long seconds;
  unsigned ticks;
};

// Like RWKVD_WRAP_WAIT on the mutex `self`, but waits at most for `timeout`.
// Returns whether the condition `what` is true.
#define RWKVD_WRAP_TIMED_WAIT(symbol)                                         \
  extern "C" bool __real_##symbol(void* self, void* what, Duration timeout);  \
  extern "C" bool __wrap_##symbol(void* self, void* what, Duration timeout) { \
    __tsan_release(self);                                                     \
    bool holds = false;                                                       \
    {                                                                         \
      IgnoreAccesses ignore;                                                  \
      holds = __real_##symbol(self, what, timeout);                           \
    }                                                                         \
    __tsan_acquire(self);                                                     \
    return holds;                                                             \
  }

// absl::Mutex
RWKVD_WRAP_LOCK(_ZN4absl7debian35Mutex4LockEv)
RWKVD_WRAP_LOCK(_ZN4absl7debian35Mutex10ReaderLockEv)
RWKVD_WRAP_UNLOCK(_ZN4absl7debian35Mutex6UnlockEv)
RWKVD_WRAP_UNLOCK(_ZN4absl7debian35Mutex12ReaderUnlockEv)
RWKVD_WRAP_WAIT(_ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE, self)

RWKVD_WRAP_TIMED_WAIT(
    _ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE)

RWKVD_WRAP_LOCK_WHEN(_ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE)

// absl::CondVar
RWKVD_WRAP_WAIT(_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE, what)

// absl::Notification: Notify releases, and WaitForNotification acquires.
RWKVD_WRAP_UNLOCK(_ZN4absl7debian312Notification6NotifyEv)
RWKVD_WRAP_LOCK(_ZNK4absl7debian312Notification19WaitForNotificationEv)
