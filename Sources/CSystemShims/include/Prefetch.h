#ifndef MILLRACE_PREFETCH_H
#define MILLRACE_PREFETCH_H

#include <stddef.h>

/// Has the processor fetch bytes that are read soon. A hint: nothing is read, any address may be
/// given.
static inline void millrace_prefetch(const void *bytes, size_t count) {
  const char *start = bytes;
  for (size_t offset = 0; offset < count; offset += 64) __builtin_prefetch(start + offset);
  // They may begin in the middle of a line.
  if (count > 0) __builtin_prefetch(start + count - 1);
}

#endif
