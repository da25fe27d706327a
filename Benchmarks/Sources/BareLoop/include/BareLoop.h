#ifndef BARE_LOOP_H
#define BARE_LOOP_H

#include <stddef.h>
#include <stdint.h>

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

/// Adds up bytes as fast as the machine does, few or many.
uint64_t byte_sum(const void *bytes, size_t count);

#ifdef __cplusplus
}
#endif

#endif
