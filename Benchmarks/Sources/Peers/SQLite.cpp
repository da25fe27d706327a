// A write-ahead log, exclusive locking, pages of 8 KiB, prepared statements, reads through a map;
// `synchronous` is FULL where commits are synced, else OFF with a checkpoint and a sync at the end.
#include <sqlite3.h>
#include <sys/stat.h>

#include "Engine.h"

namespace {

class SQLite final : public Engine {
 public:
  SQLite(const std::string &folder, Use use) {
    mkdir(folder.c_str(), 0755);
    check(sqlite3_open((folder + "/database").c_str(), &database));
    run("pragma page_size=8192");
    run("pragma locking_mode=exclusive");
    run("pragma journal_mode=wal");
    run(use.syncs ? "pragma synchronous=full" : "pragma synchronous=off");
    run("pragma cache_size=-65536");
    run("pragma mmap_size=8589934592");
    run("create table if not exists event (time integer primary key, record blob)");
    run("create table if not exists message (device integer, number integer, body blob, "
        "primary key (device, number)) without rowid");
    begins = prepare("begin");
    commits = prepare("commit");
    inserts = prepare("insert into event values (?, ?)");
    selects = prepare("select record from event where time >= ? order by time limit ?");
    enqueues = prepare("insert into message values (?, ?, ?)");
    removes = prepare("delete from message where device = ? and number = ?");
    receives = prepare(
        "select number, body from message where device = ? order by number limit ?");
  }

  ~SQLite() override {
    for (auto *statement : {begins, commits, inserts, selects, enqueues, removes, receives}) {
      sqlite3_finalize(statement);
    }
    check(sqlite3_close(database));
  }

  void append(const Record *records, size_t count, bool) override {
    // One statement is a transaction by itself.
    if (count > 1) step(begins);
    for (size_t i = 0; i < count; i++) {
      sqlite3_bind_int64(inserts, 1, static_cast<sqlite3_int64>(records[i].time));
      sqlite3_bind_blob(inserts, 2, records[i].bytes, static_cast<int>(records[i].size),
                        SQLITE_STATIC);
      step(inserts);
    }
    if (count > 1) step(commits);
  }

  void synchronize() override {
    run("pragma synchronous=full");
    run("pragma wal_checkpoint(truncate)");
  }

  Total read(uint64_t from, uint64_t max) override {
    sqlite3_bind_int64(selects, 1, static_cast<sqlite3_int64>(from));
    sqlite3_bind_int64(selects, 2, max > INT64_MAX ? -1 : static_cast<sqlite3_int64>(max));
    Total total;
    while (next(selects)) add(selects, 0, total);
    return total;
  }

  void begin() override { step(begins); }

  void enqueue(uint32_t device, uint32_t number, const void *body, size_t size) override {
    sqlite3_bind_int64(enqueues, 1, device);
    sqlite3_bind_int64(enqueues, 2, number);
    sqlite3_bind_blob(enqueues, 3, body, static_cast<int>(size), SQLITE_STATIC);
    step(enqueues);
  }

  void remove(uint32_t device, uint32_t number) override {
    sqlite3_bind_int64(removes, 1, device);
    sqlite3_bind_int64(removes, 2, number);
    step(removes);
  }

  void commit() override { step(commits); }

  std::vector<uint32_t> receive(uint32_t device, size_t max, Total &total) override {
    std::vector<uint32_t> numbers;
    sqlite3_bind_int64(receives, 1, device);
    sqlite3_bind_int64(receives, 2, static_cast<sqlite3_int64>(max));
    while (next(receives)) {
      numbers.push_back(static_cast<uint32_t>(sqlite3_column_int64(receives, 0)));
      add(receives, 1, total);
    }
    return numbers;
  }

 private:
  void check(int status) {
    if (status != SQLITE_OK) fail(std::string("SQLite: ") + sqlite3_errmsg(database));
  }

  void run(const char *text) { check(sqlite3_exec(database, text, nullptr, nullptr, nullptr)); }

  sqlite3_stmt *prepare(const char *text) {
    sqlite3_stmt *statement = nullptr;
    check(sqlite3_prepare_v3(database, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr));
    return statement;
  }

  /// Runs a statement that gives nothing back.
  void step(sqlite3_stmt *statement) {
    sqlite3_step(statement);
    check(sqlite3_reset(statement));
  }

  /// Goes to the next result; at the end the statement is ready again.
  bool next(sqlite3_stmt *statement) {
    if (sqlite3_step(statement) == SQLITE_ROW) return true;
    check(sqlite3_reset(statement));
    return false;
  }

  static void add(sqlite3_stmt *statement, int column, Total &total) {
    const void *bytes = sqlite3_column_blob(statement, column);
    total.add(bytes, static_cast<size_t>(sqlite3_column_bytes(statement, column)));
  }

  sqlite3 *database = nullptr;
  sqlite3_stmt *begins, *commits, *inserts, *selects, *enqueues, *removes, *receives;
};

}  // namespace

std::unique_ptr<Engine> open_sqlite(const std::string &folder, Use use) {
  return std::make_unique<SQLite>(folder, use);
}
