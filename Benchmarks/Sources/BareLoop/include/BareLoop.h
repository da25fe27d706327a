#ifndef BARE_LOOP_H
#define BARE_LOOP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/// A loop without an engine: records are copied behind one another into blocks of 64 KiB, each
/// compressed with LZ4, checksummed with CRC32C and written.
typedef struct bare_loop bare_loop;

/// Creates the file anew; NULL when that fails.
bare_loop *bare_loop_create(const char *path);
/// Reserves space as the store does: written blocks are not allocated then. Returns 0 or -1.
int bare_loop_reserve(bare_loop *loop, size_t size);
/// Copies one record of four parts into the block, which is written when it is full.
void bare_loop_append(bare_loop *loop, const void *head, size_t head_size, const void *id,
                      size_t id_size, const void *properties, size_t properties_size,
                      const void *body, size_t body_size);
/// Writes the block that is begun, and syncs if asked to. Returns 0 or -1.
int bare_loop_flush(bare_loop *loop, int sync);
/// Where the next frame goes.
uint64_t bare_loop_end(const bare_loop *loop);
/// Reads back a frame that begins at a position: checks and decompresses it. To be called while no
/// frame is begun. Returns the size of its records, or -1.
int bare_loop_read(bare_loop *loop, uint64_t position, void *records, size_t room);
void bare_loop_close(bare_loop *loop);

/// Reads a file that the loop has written through a map: checks, decompresses and adds up every
/// byte. Returns the sum.
uint64_t bare_loop_replay(const char *path, uint64_t *bytes);

/// Writes the same bytes `count` times one behind the other into reserved space, each synced before
/// the next. Returns the mean seconds of one, 0 when something fails.
double synced_write_seconds(const char *path, const void *bytes, size_t size, size_t count);

/// The work of a CRC32C, as the loop does it for each block.
uint32_t bare_loop_checksum(const void *bytes, size_t count);

/// Adds up many bytes as fast as the machine does.
uint64_t long_sum(const void *bytes, size_t count);

static inline uint64_t word_at(const uint8_t *p, size_t count) {
  uint64_t word = 0;
  memcpy(&word, p, count);
  return word;
}

/// The sum of the eight bytes of a word.
static inline uint64_t word_sum(uint64_t word) {
  const uint64_t even = 0x00ff00ff00ff00ff;
  uint64_t pairs = (word & even) + (word >> 8 & even);
  return pairs * 0x0001000100010001 >> 48;
}

/// Adds up a few bytes: words, of which the last may begin in the one before and is then shifted so
/// that no byte counts twice.
static inline uint64_t short_sum(const void *bytes, size_t count) {
  const uint8_t *p = (const uint8_t *)bytes;
  uint64_t sum = 0;
  size_t i = 0;
  if (count >= 8) {
    for (; i + 8 <= count; i += 8) sum += word_sum(word_at(p + i, 8));
    if (i < count) sum += word_sum(word_at(p + count - 8, 8) >> 8 * (8 - (count - i)));
    return sum;
  }
  if (count >= 4) {
    uint64_t last = word_at(p + count - 4, 4) >> 8 * (8 - count);
    return word_sum(word_at(p, 4) | last << 32);
  }
  for (; i < count; i++) sum += p[i];
  return sum;
}

/// Adds up bytes.
static inline uint64_t byte_sum(const void *bytes, size_t count) {
  return count < 32 ? short_sum(bytes, count) : long_sum(bytes, count);
}

#ifdef __cplusplus
}
#endif

#endif
