#include "Checksum.h"
#include "GuardedCopy.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

// Small enough that the checksum finds in the cache what the copy has just put there.
#define PIECE ((size_t)16384)

// The thread sanitizer runs every handler with all signals blocked, whatever its flags say. There
// alone the jump has to restore the mask, or the second vanished page kills the process.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SAVES_MASK 1
#endif
#endif
#ifndef SAVES_MASK
#define SAVES_MASK 0
#endif

struct guard {
  sigjmp_buf escape;
  uintptr_t start;
  size_t count;
};

static _Thread_local struct guard *volatile current_guard;
static struct sigaction previous_action;
static pthread_once_t installation = PTHREAD_ONCE_INIT;
static int installation_failed;

// A fault that is not ours goes where it would have gone without us.
static void pass_on(int number, siginfo_t *info, void *context) {
  if (previous_action.sa_flags & SA_SIGINFO) {
    previous_action.sa_sigaction(number, info, context);
  } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
    previous_action.sa_handler(number);
  } else {
    // The kernel does not let a process ignore a fault: returning repeats it, and it is fatal now.
    signal(number, SIG_DFL);
    if (info->si_code <= 0) raise(number);
  }
}

static void handle_bus_error(int number, siginfo_t *info, void *context) {
  struct guard *guard = current_guard;
  uintptr_t address = (uintptr_t)info->si_addr;
  if (guard != NULL && info->si_code > 0 && address - guard->start < guard->count) {
    current_guard = NULL;
    siglongjmp(guard->escape, 1);
  }
  pass_on(number, info, context);
}

static void install_handler(void) {
  // SA_NODEFER: the jump out of the handler leaves the signal unblocked without a system call per
  // guard to save the mask.
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handle_bus_error;
  action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  installation_failed = sigaction(SIGBUS, &action, &previous_action) != 0;
}

int millrace_guarded_copy(void *to, const void *from, size_t count, uint32_t *crc) {
  pthread_once(&installation, install_handler);
  if (installation_failed) return -1;
  if (count == 0) return 0;
  struct guard guard;
  // A machine check reports the start of the page, which may lie before the range.
  uintptr_t page = (uintptr_t)4095;
  guard.start = (uintptr_t)from & ~page;
  guard.count = count + ((uintptr_t)from & page);
  if (sigsetjmp(guard.escape, SAVES_MASK) != 0) return -1;
  current_guard = &guard;
  // Keeps the compiler from moving the copy out of the guarded stretch.
  atomic_signal_fence(memory_order_seq_cst);
  uint32_t value = crc != NULL ? *crc : 0;
  size_t piece = crc != NULL ? PIECE : count;
  for (size_t done = 0; done < count;) {
    size_t length = count - done < piece ? count - done : piece;
    memcpy((uint8_t *)to + done, (const uint8_t *)from + done, length);
    if (crc != NULL) value = millrace_crc32c(value, (const uint8_t *)to + done, length);
    done += length;
  }
  atomic_signal_fence(memory_order_seq_cst);
  current_guard = NULL;
  if (crc != NULL) *crc = value;
  return 0;
}
