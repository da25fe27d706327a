#define _GNU_SOURCE
#include "BareLoop.h"

#include <fcntl.h>
#include <lz4.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { BLOCK = 64 << 10, ROOM = BLOCK + (1 << 20), WRITE = 256 << 10 };

struct bare_loop {
  int file;
  off_t end;
  size_t used;
  size_t pending;
  char block[ROOM];
  char out[WRITE + ROOM + ROOM / 255 + 64];
};

// CRC32C of eight bytes a step, three streams at once where the machine can: as fast as memory is
// read here, so that the loop is held to what the engine is held to.
#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t checksum(const void *bytes, size_t count) {
  const uint8_t *p = bytes;
  uint64_t a = ~0u, b = 0, c = 0;
  size_t third = count / 24 * 8;
  for (size_t i = 0; i < third; i += 8) {
    uint64_t x, y, z;
    memcpy(&x, p + i, 8);
    memcpy(&y, p + third + i, 8);
    memcpy(&z, p + 2 * third + i, 8);
    a = _mm_crc32_u64(a, x);
    b = _mm_crc32_u64(b, y);
    c = _mm_crc32_u64(c, z);
  }
  for (size_t i = 3 * third; i < count; i++) a = _mm_crc32_u8((uint32_t)a, p[i]);
  // Not the CRC of the whole, but the work of it.
  return (uint32_t)(a ^ b << 1 ^ c << 2);
}
#else
static uint32_t checksum(const void *bytes, size_t count) {
  return (uint32_t)byte_sum(bytes, count);
}
#endif

uint32_t bare_loop_checksum(const void *bytes, size_t count) { return checksum(bytes, count); }

bare_loop *bare_loop_create(const char *path) {
  bare_loop *loop = malloc(sizeof *loop);
  if (loop == NULL) return NULL;
  loop->file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (loop->file < 0) {
    free(loop);
    return NULL;
  }
  loop->end = 0;
  loop->used = 0;
  loop->pending = 0;
  return loop;
}

int bare_loop_reserve(bare_loop *loop, size_t size) {
  return fallocate(loop->file, FALLOC_FL_KEEP_SIZE, 0, (off_t)size);
}

static int put(bare_loop *loop) {
  size_t done = 0;
  while (done < loop->pending) {
    ssize_t written =
        pwrite(loop->file, loop->out + done, loop->pending - done, loop->end + (off_t)done);
    if (written < 0) return -1;
    done += (size_t)written;
  }
  loop->end += (off_t)done;
  loop->pending = 0;
  return 0;
}

static int seal(bare_loop *loop) {
  if (loop->used == 0) return 0;
  char *frame = loop->out + loop->pending;
  int size = LZ4_compress_default(loop->block, frame + 12, (int)loop->used, ROOM + ROOM / 255);
  uint32_t header[3] = {(uint32_t)size, (uint32_t)loop->used, checksum(frame + 12, (size_t)size)};
  memcpy(frame, header, 12);
  loop->pending += 12 + (size_t)size;
  loop->used = 0;
  return loop->pending >= WRITE ? put(loop) : 0;
}

void bare_loop_append(bare_loop *loop, const void *head, size_t head_size, const void *id,
                      size_t id_size, const void *properties, size_t properties_size,
                      const void *body, size_t body_size) {
  char *to = loop->block + loop->used;
  memcpy(to, head, head_size);
  memcpy(to += head_size, id, id_size);
  memcpy(to += id_size, properties, properties_size);
  memcpy(to += properties_size, body, body_size);
  loop->used += head_size + id_size + properties_size + body_size;
  if (loop->used >= BLOCK) seal(loop);
}

int bare_loop_flush(bare_loop *loop, int sync) {
  if (seal(loop) != 0 || put(loop) != 0) return -1;
  return sync ? fdatasync(loop->file) : 0;
}

uint64_t bare_loop_end(const bare_loop *loop) { return (uint64_t)loop->end; }

int bare_loop_read(bare_loop *loop, uint64_t position, void *records, size_t room) {
  uint32_t header[3];
  if (pread(loop->file, header, 12, (off_t)position) != 12) return -1;
  if (header[0] > sizeof loop->out) return -1;
  ssize_t got = pread(loop->file, loop->out, header[0], (off_t)position + 12);
  if (got != (ssize_t)header[0]) return -1;
  if (checksum(loop->out, header[0]) != header[2]) return -1;
  return LZ4_decompress_safe(loop->out, records, (int)header[0], (int)room);
}

void bare_loop_close(bare_loop *loop) {
  close(loop->file);
  free(loop);
}

uint64_t bare_loop_replay(const char *path, uint64_t *bytes) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) return 0;
  const char *map = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, file, 0);
  char *block = malloc(ROOM);
  uint64_t sum = 0;
  *bytes = 0;
  for (off_t at = 0; at < status.st_size;) {
    uint32_t header[3];
    memcpy(header, map + at, 12);
    if (checksum(map + at + 12, header[0]) != header[2]) break;
    int size = LZ4_decompress_safe(map + at + 12, block, (int)header[0], ROOM);
    if (size < 0) break;
    sum += byte_sum(block, (size_t)size);
    *bytes += (uint64_t)size;
    at += 12 + (off_t)header[0];
  }
  free(block);
  munmap((void *)map, (size_t)status.st_size);
  close(file);
  return sum;
}

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

/// Adds up words, of which the last may begin in the one before and is then shifted so that no byte
/// counts twice.
static uint64_t sum_words(const void *bytes, size_t count) {
  const uint8_t *p = bytes;
  uint64_t sum = 0;
  size_t i = 0;
  if (count >= 8) {
    for (; i + 8 <= count; i += 8) sum += word_sum(word_at(p + i, 8));
    if (i < count) sum += word_sum(word_at(p + count - 8, 8) >> 8 * (8 - (count - i)));
    return sum;
  }
  for (; i < count; i++) sum += p[i];
  return sum;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t sum_wide(const void *bytes, size_t count) {
  const uint8_t *p = bytes;
  if (count < 32) return sum_words(p, count);
  __m256i total = _mm256_setzero_si256(), zero = total;
  size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    __m256i part = _mm256_loadu_si256((const __m256i *)(p + i));
    total = _mm256_add_epi64(total, _mm256_sad_epu8(part, zero));
  }
  uint64_t sum = (uint64_t)_mm256_extract_epi64(total, 0) +
                 (uint64_t)_mm256_extract_epi64(total, 1) +
                 (uint64_t)_mm256_extract_epi64(total, 2) +
                 (uint64_t)_mm256_extract_epi64(total, 3);
  return sum + sum_words(p + i, count - i);
}

/// The last load is masked: what is behind the end reads as zeros, and no branch depends on how
/// many bytes there are.
__attribute__((target("avx512f,avx512bw,avx512vl,bmi2"))) static uint64_t sum_masked(
    const void *bytes, size_t count) {
  const uint8_t *p = bytes;
  if (count <= 16) {
    __m128i part = _mm_maskz_loadu_epi8((__mmask16)_bzhi_u32(~0u, (unsigned)count), p);
    __m128i sums = _mm_sad_epu8(part, _mm_setzero_si128());
    return (uint64_t)_mm_cvtsi128_si64(sums) + (uint64_t)_mm_extract_epi64(sums, 1);
  }
  __m512i total = _mm512_setzero_si512(), zero = total;
  for (; count > 64; p += 64, count -= 64) {
    total = _mm512_add_epi64(total, _mm512_sad_epu8(_mm512_loadu_si512(p), zero));
  }
  __m512i last = _mm512_maskz_loadu_epi8(_bzhi_u64(~0ull, (unsigned)count), p);
  return (uint64_t)_mm512_reduce_add_epi64(_mm512_add_epi64(total, _mm512_sad_epu8(last, zero)));
}
#endif

#if defined(__x86_64__)
typedef uint64_t summing(const void *, size_t);

/// Called by the loader, once.
static summing *fastest_sum(void) {
  __builtin_cpu_init();
  bool has_masks = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (has_masks && __builtin_cpu_supports("bmi2")) return sum_masked;
  return __builtin_cpu_supports("avx2") ? sum_wide : sum_words;
}

uint64_t byte_sum(const void *bytes, size_t count) __attribute__((ifunc("fastest_sum")));
#else
uint64_t byte_sum(const void *bytes, size_t count) { return sum_words(bytes, count); }
#endif

double synced_write_seconds(const char *path, const void *bytes, size_t size, size_t count) {
  int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return 0;
  fallocate(file, FALLOC_FL_KEEP_SIZE, 0, (off_t)(size * count));
  fsync(file);
  struct timespec start, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (size_t i = 0; i < count; i++) {
    if (pwrite(file, bytes, size, (off_t)(i * size)) < 0 || fdatasync(file) != 0) {
      close(file);
      return 0;
    }
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  close(file);
  double taken = (double)(end.tv_sec - start.tv_sec);
  return (taken + (double)(end.tv_nsec - start.tv_nsec) / 1e9) / (double)count;
}
