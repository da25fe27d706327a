#ifndef MILLRACE_CONTENT_CHECKSUM_H
#define MILLRACE_CONTENT_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/// XXH3 of 64 bits with a seed (format-spec §3.3). Another kind of function than CRC32C, so that it
/// confirms independently what a CRC was made to accept.
uint64_t millrace_xxh3_64_seeded(const void *bytes, size_t count, uint64_t seed);

#endif
