#ifndef ALLOCATION_COUNT_H
#define ALLOCATION_COUNT_H

#include <stdint.h>

/// Calls of malloc, calloc, realloc and aligned allocation that the calling thread has made.
uint64_t allocation_count(void);

#endif
