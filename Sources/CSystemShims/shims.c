#include "CSystemShims.h"
uint32_t millrace_crc32c(uint32_t crc, const void *bytes, size_t count) {
  const uint8_t *p = bytes; crc = ~crc;
  while (count--) { crc ^= *p++; for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0); }
  return ~crc;
}
