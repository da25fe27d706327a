// Appends at the end of the tree with integer keys; without a sync a commit (MDB_NOSYNC) where the
// workload asks for none, and one sync at the end.
#include <lmdb.h>
#include <sys/stat.h>

#include "Engine.h"

namespace {

void check(int status) {
  if (status != 0) fail(std::string("LMDB: ") + mdb_strerror(status));
}

MDB_val value(const void *start, size_t size) { return {size, const_cast<void *>(start)}; }

class LMDB final : public Engine {
 public:
  LMDB(const std::string &folder, Use use) {
    mkdir(folder.c_str(), 0755);
    check(mdb_env_create(&environment));
    check(mdb_env_set_mapsize(environment, size_t(16) << 30));
    check(mdb_env_open(environment, folder.c_str(), use.syncs ? 0 : MDB_NOSYNC, 0644));
    start(0);
    check(mdb_dbi_open(transaction, nullptr, use.queues ? 0 : MDB_INTEGERKEY, &database));
    check(mdb_txn_commit(transaction));
    transaction = nullptr;
  }

  ~LMDB() override { mdb_env_close(environment); }

  void append(const Record *records, size_t count, bool) override {
    start(0);
    MDB_cursor *cursor;
    check(mdb_cursor_open(transaction, database, &cursor));
    for (size_t i = 0; i < count; i++) {
      MDB_val key = value(&records[i].time, 8), record = value(records[i].bytes, records[i].size);
      check(mdb_cursor_put(cursor, &key, &record, MDB_APPEND));
    }
    mdb_cursor_close(cursor);
    commit();
  }

  void synchronize() override { check(mdb_env_sync(environment, 1)); }

  Total read(uint64_t from, uint64_t max) override {
    Total total;
    visit(value(&from, 8), [&](const MDB_val &, const MDB_val &record) {
      if (total.count == max) return false;
      total.add(record.mv_data, record.mv_size);
      return true;
    });
    return total;
  }

  void begin() override { start(0); }

  void enqueue(uint32_t device, uint32_t number, const void *body, size_t size) override {
    uint8_t bytes[8];
    store_big_endian(bytes, uint64_t(device) << 32 | number, 8);
    MDB_val key = value(bytes, 8), message = value(body, size);
    check(mdb_put(transaction, database, &key, &message, 0));
  }

  void remove(uint32_t device, uint32_t number) override {
    uint8_t bytes[8];
    store_big_endian(bytes, uint64_t(device) << 32 | number, 8);
    MDB_val key = value(bytes, 8);
    check(mdb_del(transaction, database, &key, nullptr));
  }

  void commit() override {
    check(mdb_txn_commit(transaction));
    transaction = nullptr;
  }

  std::vector<uint32_t> receive(uint32_t device, size_t max, Total &total) override {
    std::vector<uint32_t> numbers;
    uint8_t bytes[8];
    store_big_endian(bytes, uint64_t(device) << 32, 8);
    visit(value(bytes, 8), [&](const MDB_val &key, const MDB_val &message) {
      uint64_t found = load_big_endian(static_cast<const uint8_t *>(key.mv_data), 8);
      if (found >> 32 != device || numbers.size() == max) return false;
      numbers.push_back(static_cast<uint32_t>(found));
      total.add(message.mv_data, message.mv_size);
      return true;
    });
    return numbers;
  }

 private:
  void start(unsigned flags) { check(mdb_txn_begin(environment, nullptr, flags, &transaction)); }

  /// Visits keys in order while `visitor` returns true: in the transaction that is open, or in one
  /// that reads.
  template <class Visitor>
  void visit(MDB_val key, Visitor visitor) {
    bool reads = transaction == nullptr;
    if (reads) start(MDB_RDONLY);
    MDB_cursor *cursor;
    check(mdb_cursor_open(transaction, database, &cursor));
    MDB_val found;
    int status = mdb_cursor_get(cursor, &key, &found, MDB_SET_RANGE);
    while (status == 0 && visitor(key, found)) {
      status = mdb_cursor_get(cursor, &key, &found, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (!reads) return;
    mdb_txn_abort(transaction);
    transaction = nullptr;
  }

  MDB_env *environment = nullptr;
  MDB_txn *transaction = nullptr;
  MDB_dbi database = 0;
};

}  // namespace

std::unique_ptr<Engine> open_lmdb(const std::string &folder, Use use) {
  return std::make_unique<LMDB>(folder, use);
}
