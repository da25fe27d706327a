// Tuned for a log: LZ4, no compaction (tables are only ever added), blocks of 64 KiB and tables
// read through maps. Queues, whose keys come and go, compact as RocksDB does by itself.
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include "Engine.h"

namespace {

void check(const rocksdb::Status &status) {
  if (!status.ok()) fail("RocksDB: " + status.ToString());
}

class RocksDB final : public Engine {
 public:
  RocksDB(const std::string &folder, Use use) {
    rocksdb::Options options;
    options.create_if_missing = true;
    options.compression = rocksdb::kLZ4Compression;
    options.max_background_jobs = 2;
    options.allow_mmap_reads = true;
    if (!use.queues) {
      options.write_buffer_size = 32 << 20;
      options.disable_auto_compactions = true;
      options.level0_slowdown_writes_trigger = 1 << 20;
      options.level0_stop_writes_trigger = 1 << 20;
    }
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = rocksdb::NewLRUCache(64 << 20);
    table.block_size = use.queues ? 4 << 10 : 64 << 10;
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    rocksdb::DB *opened = nullptr;
    check(rocksdb::DB::Open(options, folder, &opened));
    db.reset(opened);
  }

  ~RocksDB() override {
    check(db->Flush(rocksdb::FlushOptions()));
    check(db->Close());
  }

  void append(const Record *records, size_t count, bool sync) override {
    for (size_t i = 0; i < count; i++) {
      uint8_t key[8];
      store_big_endian(key, records[i].time, 8);
      check(batch.Put(slice(key, 8), slice(records[i].bytes, records[i].size)));
    }
    write(sync);
  }

  void synchronize() override { check(db->FlushWAL(true)); }

  Total read(uint64_t from, uint64_t max) override {
    rocksdb::ReadOptions options;
    options.fill_cache = max < 1000;
    std::unique_ptr<rocksdb::Iterator> place(db->NewIterator(options));
    uint8_t key[8];
    store_big_endian(key, from, 8);
    Total total;
    for (place->Seek(slice(key, 8)); place->Valid() && total.count < max; place->Next()) {
      total.add(place->value().data(), place->value().size());
    }
    check(place->status());
    return total;
  }

  void begin() override { batch.Clear(); }

  void enqueue(uint32_t device, uint32_t number, const void *body, size_t size) override {
    uint8_t key[8];
    store_big_endian(key, uint64_t(device) << 32 | number, 8);
    check(batch.Put(slice(key, 8), slice(body, size)));
  }

  void remove(uint32_t device, uint32_t number) override {
    uint8_t key[8];
    store_big_endian(key, uint64_t(device) << 32 | number, 8);
    check(batch.Delete(slice(key, 8)));
  }

  void commit() override { write(true); }

  std::vector<uint32_t> receive(uint32_t device, size_t max, Total &total) override {
    std::vector<uint32_t> numbers;
    std::unique_ptr<rocksdb::Iterator> place(db->NewIterator(rocksdb::ReadOptions()));
    uint8_t key[8];
    store_big_endian(key, uint64_t(device) << 32, 8);
    for (place->Seek(slice(key, 8)); place->Valid() && numbers.size() < max; place->Next()) {
      uint64_t found = load_big_endian(bytes(place->key()), 8);
      if (found >> 32 != device) break;
      numbers.push_back(static_cast<uint32_t>(found));
      total.add(place->value().data(), place->value().size());
    }
    return numbers;
  }

 private:
  static rocksdb::Slice slice(const void *start, size_t size) {
    return rocksdb::Slice(static_cast<const char *>(start), size);
  }

  static const uint8_t *bytes(const rocksdb::Slice &slice) {
    return reinterpret_cast<const uint8_t *>(slice.data());
  }

  void write(bool sync) {
    rocksdb::WriteOptions options;
    options.sync = sync;
    check(db->Write(options, &batch));
    batch.Clear();
  }

  std::unique_ptr<rocksdb::DB> db;
  rocksdb::WriteBatch batch;
};

}  // namespace

std::unique_ptr<Engine> open_rocksdb(const std::string &folder, Use use) {
  return std::make_unique<RocksDB>(folder, use);
}
