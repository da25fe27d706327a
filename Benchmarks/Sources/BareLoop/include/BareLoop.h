#ifndef BARE_LOOP_H
#define BARE_LOOP_H

#include <stddef.h>
#include <stdint.h>

/// A loop without an engine: records are copied behind one another into blocks of 64 KiB, each
/// compressed with LZ4, checksummed with CRC32C and written.
typedef struct bare_loop bare_loop;

/// Creates the file anew; NULL when that fails.
bare_loop *bare_loop_create(const char *path);
/// Copies one record of four parts into the block, which is written when it is full.
void bare_loop_append(bare_loop *loop, const void *head, size_t head_size, const void *id,
                      size_t id_size, const void *properties, size_t properties_size,
                      const void *body, size_t body_size);
/// Writes the block that is begun, and syncs if asked to. Returns 0 or -1.
int bare_loop_flush(bare_loop *loop, int sync);
void bare_loop_close(bare_loop *loop);

/// Reads a file that the loop has written through a map: checks, decompresses and adds up every
/// byte. Returns the sum.
uint64_t bare_loop_replay(const char *path, uint64_t *bytes);

/// Adds up bytes as fast as the machine does.
uint64_t byte_sum(const void *bytes, size_t count);

#endif
