#ifndef MILLRACE_CHECKSUM_H
#define MILLRACE_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// CRC32C (Castagnoli) of `bytes` behind what `crc` is the checksum of; 0 begins anew. Uses the
/// processor's instructions where it has them.
uint32_t millrace_crc32c(uint32_t crc, const void *bytes, size_t count);

/// The same in plain C, by eight tables.
uint32_t millrace_crc32c_portable(uint32_t crc, const void *bytes, size_t count);

/// The same by the processor's instructions, in three streams for long inputs. To be called only
/// where `millrace_crc32c_has_hardware` says so; elsewhere it is the portable one.
uint32_t millrace_crc32c_hardware(uint32_t crc, const void *bytes, size_t count);

bool millrace_crc32c_has_hardware(void);

#endif
