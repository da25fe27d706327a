#ifndef MILLRACE_GUARDED_COPY_H
#define MILLRACE_GUARDED_COPY_H

#include <stddef.h>
#include <stdint.h>

/// Copies `count` bytes out of a mapped file and continues the CRC32C at `crc` with them, as they
/// stand in the copy; none is computed if `crc` is NULL. Returns 0, or -1 if a page of `from` has
/// vanished (SIGBUS), and then the bytes at `to` mean nothing and the CRC is as it was.
int millrace_guarded_copy(void *to, const void *from, size_t count, uint32_t *crc);

#endif
