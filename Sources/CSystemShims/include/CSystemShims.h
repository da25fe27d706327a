#ifndef MILLRACE_SYSTEM_SHIMS_H
#define MILLRACE_SYSTEM_SHIMS_H
#include <stddef.h>
#include <stdint.h>
#include "ContentChecksum.h"
uint32_t millrace_crc32c(uint32_t crc, const void *bytes, size_t count);
#endif
