#ifndef MILLRACE_LINUX_CALLS_H
#define MILLRACE_LINUX_CALLS_H

#include <stdint.h>
#include <sys/types.h>

// Calls that the C library declares for GNU programs only, which Swift therefore does not see.
// Each returns 0 or the error number.

/// Reserves space for `count` bytes from `start` without changing the file's length.
int millrace_reserve(int file, int64_t start, int64_t count);

/// Gives back the space of a range, beyond the end of the file or not, without changing its length.
int millrace_punch_hole(int file, int64_t start, int64_t count);

/// Where bytes are kept next, from a position on: what is before that reads as zeros. -1 and
/// `errno` where there are none. Moves the descriptor's own position.
int64_t millrace_data_start(int file, int64_t position);

/// Reads what the page cache holds of a range: EAGAIN where the disk would have to be waited for.
/// Like `pread` otherwise.
ssize_t millrace_read_resident(int file, void *buffer, size_t count, int64_t position);

/// Returns when everything written to the file system that holds the file is on its disk. Tells of
/// failures since the file was opened.
int millrace_synchronize_file_system(int file);

/// Takes the exclusive lock of this open file description on the whole file: EAGAIN if another
/// description holds it, in this process or in another.
int millrace_lock_exclusively(int file);

/// Whether another open file description holds a lock on the file: stores 1 or 0.
int millrace_is_locked(int file, int *is_locked);

#endif
