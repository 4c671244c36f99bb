// SPDX-License-Identifier: Apache-2.0
// Tells the thread sanitizer what the system's Abseil synchronizes.
//
// That library was not compiled for the sanitizer, which then takes every
// correctly locked access for a race. The linker (--wrap, in .bazelrc) sends
// our calls of the functions below here; they say what happens before what,
// and call the real ones. Of the waits with a deadline one is among them: code
// that uses another under the sanitizer needs its wrapper first.

extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}

namespace {

// While it lives, this thread's accesses are not looked at: inside the library
// they follow rules that the sanitizer cannot see.
class InsideTheLibrary {
 public:
  InsideTheLibrary() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~InsideTheLibrary() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
};

}  // namespace

// Takes the mutex `m`: what its last holder did happened before.
#define RWKVD_WRAP_LOCK(symbol)              \
  extern "C" void __real_##symbol(void* m);  \
  extern "C" void __wrap_##symbol(void* m) { \
    {                                        \
      InsideTheLibrary inside;               \
      __real_##symbol(m);                    \
    }                                        \
    __tsan_acquire(m);                       \
  }

#define RWKVD_WRAP_UNLOCK(symbol)            \
  extern "C" void __real_##symbol(void* m);  \
  extern "C" void __wrap_##symbol(void* m) { \
    __tsan_release(m);                       \
    InsideTheLibrary inside;                 \
    __real_##symbol(m);                      \
  }

// Takes the mutex `self` once `what` holds.
#define RWKVD_WRAP_LOCK_WHEN(symbol)                        \
  extern "C" void __real_##symbol(void* self, void* what);  \
  extern "C" void __wrap_##symbol(void* self, void* what) { \
    {                                                       \
      InsideTheLibrary inside;                              \
      __real_##symbol(self, what);                          \
    }                                                       \
    __tsan_acquire(self);                                   \
  }

// Gives the mutex `m` up while waiting for `what`, and takes it again.
#define RWKVD_WRAP_WAIT(symbol, m)                          \
  extern "C" void __real_##symbol(void* self, void* what);  \
  extern "C" void __wrap_##symbol(void* self, void* what) { \
    __tsan_release(m);                                      \
    {                                                       \
      InsideTheLibrary inside;                              \
      __real_##symbol(self, what);                          \
    }                                                       \
    __tsan_acquire(m);                                      \
  }

// An absl::Duration, as far as handing one on is concerned.
struct Duration {
  long seconds;
  unsigned ticks;
};

// As RWKVD_WRAP_WAIT on the mutex `self`, for no longer than `timeout`. Whether
// `what` holds.
#define RWKVD_WRAP_TIMED_WAIT(symbol)                                         \
  extern "C" bool __real_##symbol(void* self, void* what, Duration timeout);  \
  extern "C" bool __wrap_##symbol(void* self, void* what, Duration timeout) { \
    __tsan_release(self);                                                     \
    bool holds = false;                                                       \
    {                                                                         \
      InsideTheLibrary inside;                                                \
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

// absl::Notification: to notify is to release, to have waited to acquire.
RWKVD_WRAP_UNLOCK(_ZN4absl7debian312Notification6NotifyEv)
RWKVD_WRAP_LOCK(_ZNK4absl7debian312Notification19WaitForNotificationEv)
