// What every engine beside which the store is measured can do.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "BareLoop.h"

struct Record {
  uint64_t time;
  const uint8_t *bytes;
  uint32_t size;
};

/// Records and the sum of their bytes.
struct Total {
  uint64_t count = 0;
  uint64_t sum = 0;

  void add(const void *bytes, size_t size) {
    count++;
    sum += byte_sum(bytes, size);
  }
};

/// How an engine is opened: for which of the workloads, and whether a commit must reach the disk.
struct Use {
  bool queues = false;
  bool syncs = false;
};

class Engine {
 public:
  virtual ~Engine() = default;

  /// Appends records in one commit, which is on the disk afterwards if `sync` says so.
  virtual void append(const Record *records, size_t count, bool sync) = 0;
  /// Returns when everything is on the disk.
  virtual void synchronize() = 0;
  /// Reads records in order, from a time on.
  virtual Total read(uint64_t from, uint64_t max) = 0;
  /// Whether it finds a time without reading from the first record on.
  virtual bool seeks() const { return true; }

  // Messages to devices: a key of the device and a number, and a body. Commits are synced.
  virtual void begin() = 0;
  virtual void enqueue(uint32_t device, uint32_t number, const void *body, size_t size) = 0;
  virtual void remove(uint32_t device, uint32_t number) = 0;
  virtual void commit() = 0;
  /// The numbers of a device's first messages, whose bytes are added up.
  virtual std::vector<uint32_t> receive(uint32_t device, size_t max, Total &total) = 0;
};

std::unique_ptr<Engine> open_rocksdb(const std::string &folder, Use use);
std::unique_ptr<Engine> open_lmdb(const std::string &folder, Use use);
std::unique_ptr<Engine> open_sqlite(const std::string &folder, Use use);
std::unique_ptr<Engine> open_bare(const std::string &folder, Use use);

/// What the processor and the disk allow; prints one line of JSON.
void print_limits(const std::string &folder, const std::vector<Record> &records);

/// Ends the program with what is wrong.
[[noreturn]] void fail(const std::string &problem);

/// Seconds of a clock that never goes back.
double now();

/// One JSON object on one line.
void print(const std::vector<std::pair<std::string, double>> &fields);

/// A key whose bytes are in the order of its numbers.
inline void store_big_endian(uint8_t *key, uint64_t value, int size) {
  for (int i = size - 1; i >= 0; i--, value >>= 8) key[i] = static_cast<uint8_t>(value);
}

inline uint64_t load_big_endian(const uint8_t *key, int size) {
  uint64_t value = 0;
  for (int i = 0; i < size; i++) value = value << 8 | key[i];
  return value;
}
