// No engine: records into blocks of 64 KiB, LZ4, CRC32C, written; nothing is found again but from
// the beginning.
#include <sys/stat.h>

#include "Engine.h"

namespace {

class Bare final : public Engine {
 public:
  explicit Bare(const std::string &folder) : path(folder + "/log") {
    mkdir(folder.c_str(), 0755);
  }

  ~Bare() override {
    if (loop != nullptr) bare_loop_close(loop);
  }

  void append(const Record *records, size_t count, bool sync) override {
    if (loop == nullptr) create(sync);
    for (size_t i = 0; i < count; i++) {
      // The head of a record: its size and its time.
      uint8_t head[12];
      store_big_endian(head, records[i].size, 4);
      store_big_endian(head + 4, records[i].time, 8);
      bare_loop_append(loop, head, sizeof head, nullptr, 0, nullptr, 0, records[i].bytes,
                       records[i].size);
    }
    if (sync) synchronize();
  }

  void synchronize() override {
    if (bare_loop_flush(loop, 1) != 0) fail("the bare loop cannot write");
  }

  /// The whole log, heads included.
  Total read(uint64_t, uint64_t) override {
    Total total;
    total.sum = bare_loop_replay(path.c_str(), &total.count);
    return total;
  }

  bool seeks() const override { return false; }

  void begin() override { fail("the bare loop has no queues; see tools/bench queues"); }
  void enqueue(uint32_t, uint32_t, const void *, size_t) override {}
  void remove(uint32_t, uint32_t) override {}
  void commit() override {}
  std::vector<uint32_t> receive(uint32_t, size_t, Total &) override { return {}; }

 private:
  void create(bool sync) {
    loop = bare_loop_create(path.c_str());
    if (loop == nullptr) fail("cannot create " + path);
    // As the store does, so that a sync does not have to tell of a new size each time.
    if (sync) bare_loop_reserve(loop, size_t(64) << 20);
  }

  const std::string path;
  bare_loop *loop = nullptr;
};

}  // namespace

std::unique_ptr<Engine> open_bare(const std::string &folder, Use) {
  return std::make_unique<Bare>(folder);
}
