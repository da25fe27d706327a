#include "ContentChecksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t millrace_xxh3_64_seeded(const void *bytes, size_t count, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes, count, seed);
}
