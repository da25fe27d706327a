#include "Checksum.h"

#include <string.h>

#if defined(__x86_64__)
#define MILLRACE_HARDWARE 1
#define HARDWARE_TARGET __attribute__((target("sse4.2")))
#define CRC_WORD(crc, word) ((uint32_t)__builtin_ia32_crc32di((crc), (word)))
#define CRC_BYTE(crc, byte) (__builtin_ia32_crc32qi((crc), (byte)))
#elif defined(__aarch64__)
#include <sys/auxv.h>
#define MILLRACE_HARDWARE 1
#define HARDWARE_TARGET __attribute__((target("crc")))
#define CRC_WORD(crc, word) (__builtin_arm_crc32cd((crc), (word)))
#define CRC_BYTE(crc, byte) (__builtin_arm_crc32cb((crc), (byte)))
// The kernel's number for it; older headers lack the name.
#define CRC32_CAPABILITY (1UL << 7)
#else
#define MILLRACE_HARDWARE 0
#endif

// Castagnoli's polynomial, bits reversed.
#define POLYNOMIAL 0x82F63B78u

// Lengths of one of three streams: the instruction takes three cycles and one can begin each cycle.
#define LONG_STREAM ((size_t)4096)
#define SHORT_STREAM ((size_t)256)

// A register can be moved over a number of zero bytes by four lookups: the CRC is linear.
typedef uint32_t zeros_table[4][256];

static uint32_t slices[8][256];
static zeros_table long_zeros, short_zeros;
static bool has_hardware;

static void make_slices(void) {
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
    slices[0][byte] = crc;
  }
  for (uint32_t byte = 0; byte < 256; byte++) {
    for (int slice = 1; slice < 8; slice++) {
      uint32_t before = slices[slice - 1][byte];
      slices[slice][byte] = slices[0][before & 0xFF] ^ before >> 8;
    }
  }
}

// Fills `table` for `count` zero bytes: the effect on each single bit, then on each byte by sums.
static void make_zeros(zeros_table table, size_t count) {
  uint32_t bits[32];
  for (int bit = 0; bit < 32; bit++) {
    uint32_t crc = 1u << bit;
    for (size_t i = 0; i < count; i++) crc = slices[0][crc & 0xFF] ^ crc >> 8;
    bits[bit] = crc;
  }
  for (int place = 0; place < 4; place++) {
    for (uint32_t byte = 0; byte < 256; byte++) {
      uint32_t sum = 0;
      for (int bit = 0; bit < 8; bit++) {
        if (byte >> bit & 1) sum ^= bits[8 * place + bit];
      }
      table[place][byte] = sum;
    }
  }
}

static bool find_hardware(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("sse4.2");
#elif defined(__aarch64__)
  return (getauxval(AT_HWCAP) & CRC32_CAPABILITY) != 0;
#else
  return false;
#endif
}

// Once, before main: no call pays for a check that it has happened.
__attribute__((constructor)) static void prepare(void) {
  make_slices();
  make_zeros(long_zeros, LONG_STREAM);
  make_zeros(short_zeros, SHORT_STREAM);
  has_hardware = find_hardware();
}

static inline uint64_t load_word(const uint8_t *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

uint32_t millrace_crc32c_portable(uint32_t crc, const void *bytes, size_t count) {
  const uint8_t *next = bytes;
  crc = ~crc;
  for (; count >= 8; next += 8, count -= 8) {
    uint64_t word = load_word(next) ^ crc;
    crc = slices[7][word & 0xFF] ^ slices[6][word >> 8 & 0xFF] ^ slices[5][word >> 16 & 0xFF] ^
          slices[4][word >> 24 & 0xFF] ^ slices[3][word >> 32 & 0xFF] ^
          slices[2][word >> 40 & 0xFF] ^ slices[1][word >> 48 & 0xFF] ^ slices[0][word >> 56];
  }
  for (; count > 0; next++, count--) crc = slices[0][(crc ^ *next) & 0xFF] ^ crc >> 8;
  return ~crc;
}

#if MILLRACE_HARDWARE

static inline uint32_t skip_zeros(zeros_table table, uint32_t crc) {
  return table[0][crc & 0xFF] ^ table[1][crc >> 8 & 0xFF] ^ table[2][crc >> 16 & 0xFF] ^
         table[3][crc >> 24];
}

// Three neighbouring runs of `length` bytes at once; the first two registers are then moved over
// the bytes behind them and all three summed.
HARDWARE_TARGET __attribute__((always_inline)) static inline uint32_t three_streams(
  uint32_t crc, const uint8_t *bytes, size_t length, zeros_table table) {
  uint32_t second = 0, third = 0;
  for (size_t i = 0; i < length; i += 8) {
    crc = CRC_WORD(crc, load_word(bytes + i));
    second = CRC_WORD(second, load_word(bytes + length + i));
    third = CRC_WORD(third, load_word(bytes + 2 * length + i));
  }
  crc = skip_zeros(table, crc) ^ second;
  return skip_zeros(table, crc) ^ third;
}

HARDWARE_TARGET uint32_t millrace_crc32c_hardware(uint32_t crc, const void *bytes, size_t count) {
  const uint8_t *next = bytes;
  crc = ~crc;
  for (; count >= 3 * LONG_STREAM; next += 3 * LONG_STREAM, count -= 3 * LONG_STREAM) {
    crc = three_streams(crc, next, LONG_STREAM, long_zeros);
  }
  for (; count >= 3 * SHORT_STREAM; next += 3 * SHORT_STREAM, count -= 3 * SHORT_STREAM) {
    crc = three_streams(crc, next, SHORT_STREAM, short_zeros);
  }
  for (; count >= 8; next += 8, count -= 8) crc = CRC_WORD(crc, load_word(next));
  for (; count > 0; next++, count--) crc = CRC_BYTE(crc, *next);
  return ~crc;
}

#else

uint32_t millrace_crc32c_hardware(uint32_t crc, const void *bytes, size_t count) {
  return millrace_crc32c_portable(crc, bytes, count);
}

#endif

bool millrace_crc32c_has_hardware(void) { return has_hardware; }

uint32_t millrace_crc32c(uint32_t crc, const void *bytes, size_t count) {
  return has_hardware ? millrace_crc32c_hardware(crc, bytes, count)
                      : millrace_crc32c_portable(crc, bytes, count);
}
