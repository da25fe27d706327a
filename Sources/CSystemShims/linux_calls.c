#define _GNU_SOURCE
#include "LinuxCalls.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

int millrace_reserve(int file, int64_t start, int64_t count) {
  return fallocate(file, FALLOC_FL_KEEP_SIZE, start, count) == 0 ? 0 : errno;
}

int millrace_punch_hole(int file, int64_t start, int64_t count) {
  int mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;
  return fallocate(file, mode, start, count) == 0 ? 0 : errno;
}

int64_t millrace_data_start(int file, int64_t position) { return lseek(file, position, SEEK_DATA); }

ssize_t millrace_read_resident(int file, void *buffer, size_t count, int64_t position) {
  struct iovec vector = {.iov_base = buffer, .iov_len = count};
  return preadv2(file, &vector, 1, position, RWF_NOWAIT);
}

int millrace_synchronize_file_system(int file) { return syncfs(file) == 0 ? 0 : errno; }

static struct flock whole_file(void) {
  return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

int millrace_lock_exclusively(int file) {
  struct flock lock = whole_file();
  return fcntl(file, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
}

int millrace_is_locked(int file, int *is_locked) {
  struct flock lock = whole_file();
  if (fcntl(file, F_OFD_GETLK, &lock) != 0) return errno;
  *is_locked = lock.l_type != F_UNLCK;
  return 0;
}
