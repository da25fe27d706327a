// Shows the thread sanitizer the locks that it cannot see; empty in every other build.
//
// `Synchronization.Mutex` takes its fast path in instrumented code, but waits and wakes through a
// futex in the standard library, which is not instrumented: whoever had to wait for a lock would
// seem to race with the one that released it. These definitions stand before the library's, call
// them, and say what they have done.

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)

// For RTLD_NEXT.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

void __tsan_acquire(void *address);
void __tsan_release(void *address);

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY_LOCK "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

SWIFT void millrace_lock_slow(uint32_t state, SELF mutex) __asm__(LOCK);
SWIFT bool millrace_try_lock_slow(SELF mutex) __asm__(TRY_LOCK);
SWIFT void millrace_unlock_slow(SELF mutex) __asm__(UNLOCK);

static SWIFT void (*lock_slow)(uint32_t, SELF);
static SWIFT bool (*try_lock_slow)(SELF);
static SWIFT void (*unlock_slow)(SELF);

__attribute__((constructor)) static void find_originals(void) {
  lock_slow = dlsym(RTLD_NEXT, LOCK);
  try_lock_slow = dlsym(RTLD_NEXT, TRY_LOCK);
  unlock_slow = dlsym(RTLD_NEXT, UNLOCK);
  // Another library than the one this was written for: better no run than a blind one.
  if (lock_slow == NULL || try_lock_slow == NULL || unlock_slow == NULL) abort();
}

SWIFT void millrace_lock_slow(uint32_t state, SELF mutex) {
  lock_slow(state, mutex);
  __tsan_acquire(mutex);
}

SWIFT bool millrace_try_lock_slow(SELF mutex) {
  bool is_locked = try_lock_slow(mutex);
  if (is_locked) __tsan_acquire(mutex);
  return is_locked;
}

SWIFT void millrace_unlock_slow(SELF mutex) {
  __tsan_release(mutex);
  unlock_slow(mutex);
}

#endif
#endif
