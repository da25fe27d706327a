// Runs one workload in one engine and prints one line of JSON; called as PeerDriver is.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>

#include "Engine.h"

void fail(const std::string &problem) {
  fprintf(stderr, "%s\n", problem.c_str());
  exit(2);
}

double now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

void print(const std::vector<std::pair<std::string, double>> &fields) {
  const char *separator = "{";
  for (const auto &[name, value] : fields) {
    printf("%s\"%s\": %.9g", separator, name.c_str(), value);
    separator = ", ";
  }
  puts("}");
}

namespace {

using Fields = std::vector<std::pair<std::string, double>>;
using Opening = std::unique_ptr<Engine> (*)(const std::string &, Use);

const char usage[] =
    "usage: peers NAME w1 DIR CORPUS N BATCH none|batch\n"
    "       peers NAME w2|w3 DIR CORPUS N\n"
    "       peers NAME w4 DIR\n"
    "       peers limits DIR CORPUS N\n"
    "  NAME   bare, rocksdb, lmdb, sqlite; see PeerDriver for the workloads";

double processor_seconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](timeval time) { return double(time.tv_sec) + double(time.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Memory that no file stands behind, in MiB.
double anonymous_memory() {
  FILE *file = fopen("/proc/self/status", "r");
  char line[256];
  double kibibytes = 0;
  while (file != nullptr && fgets(line, sizeof line, file) != nullptr) {
    if (strncmp(line, "RssAnon:", 8) == 0) kibibytes = atof(line + 8);
  }
  if (file != nullptr) fclose(file);
  return kibibytes / 1024;
}

/// The records of a corpus, mapped and touched.
std::vector<Record> map_records(const char *path, size_t limit) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) fail(std::string("cannot open ") + path);
  auto size = static_cast<size_t>(status.st_size);
  void *map = mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
  if (map == MAP_FAILED) fail(std::string("cannot map ") + path);
  close(file);
  auto *start = static_cast<const uint8_t *>(map);
  std::vector<Record> records;
  for (size_t at = 0; at + 12 <= size && records.size() < limit;) {
    Record record;
    memcpy(&record.size, start + at, 4);
    memcpy(&record.time, start + at + 4, 8);
    record.bytes = start + at + 12;
    records.push_back(record);
    at += 12 + record.size;
  }
  return records;
}

uint64_t next_random(uint64_t &state) {
  uint64_t value = state += 0x9e3779b97f4a7c15;
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  return value ^ value >> 31;
}

/// How long operations took.
class Latencies {
 public:
  void time(const std::function<void()> &operation) {
    double start = now();
    operation();
    seconds.push_back(now() - start);
  }

  double total() const {
    double sum = 0;
    for (double value : seconds) sum += value;
    return sum;
  }

  double rate() const { return static_cast<double>(seconds.size()) / total(); }

  double percentile(double share) {
    std::sort(seconds.begin(), seconds.end());
    return seconds[static_cast<size_t>(share * static_cast<double>(seconds.size() - 1))] * 1e6;
  }

  void add_to(Fields &fields) {
    fields.emplace_back("p50_us", percentile(0.5));
    fields.emplace_back("p90_us", percentile(0.9));
    fields.emplace_back("p99_us", percentile(0.99));
    fields.emplace_back("p999_us", percentile(0.999));
    fields.emplace_back("max_us", percentile(1));
  }

 private:
  std::vector<double> seconds;
};

void append(Opening open, const std::string &folder, const std::vector<Record> &records,
            size_t group, bool syncs) {
  double before = anonymous_memory(), peak = 0, bytes = 0;
  for (const Record &record : records) bytes += record.size;
  auto engine = open(folder, Use{false, syncs});
  Latencies latencies;
  double start = now(), processor = processor_seconds();
  for (size_t at = 0, turn = 0; at < records.size(); at += group, turn++) {
    size_t count = std::min(group, records.size() - at);
    if (syncs) {
      latencies.time([&] { engine->append(&records[at], count, true); });
    } else {
      engine->append(&records[at], count, false);
    }
    if (turn % 64 == 0 && group > 1) peak = std::max(peak, anonymous_memory());
  }
  if (!syncs) engine->synchronize();
  double taken = now() - start;
  peak = std::max(peak, anonymous_memory());
  double used = processor_seconds() - processor;
  engine.reset();
  Fields fields = {{"events", double(records.size())}, {"wall_s", taken},
                   {"ev_s", double(records.size()) / taken}, {"mb_s", bytes / taken / 1e6},
                   {"cpu_s", used}, {"cpu_total_s", processor_seconds() - processor},
                   {"anon_mb", peak - before}};
  if (syncs) latencies.add_to(fields);
  print(fields);
}

void replay(Opening open, const std::string &folder, const std::vector<Record> &records) {
  Total expected;
  double bytes = 0;
  for (const Record &record : records) {
    expected.add(record.bytes, record.size);
    bytes += record.size;
  }
  auto engine = open(folder, {});
  auto check = [&](const Total &total) {
    // Without an engine the heads of the records are read too.
    if (engine->seeks() && (total.count != expected.count || total.sum != expected.sum)) {
      fail("what was read is not what was written");
    }
  };
  check(engine->read(0, UINT64_MAX));
  double start = now(), processor = processor_seconds();
  check(engine->read(0, UINT64_MAX));
  double taken = now() - start;
  print({{"events", double(records.size())}, {"wall_s", taken},
         {"ev_s", double(records.size()) / taken}, {"mb_s", bytes / taken / 1e6},
         {"cpu_s", processor_seconds() - processor}, {"anon_mb", anonymous_memory()}});
}

void seek(Opening open, const std::string &folder, const std::vector<Record> &records) {
  auto engine = open(folder, {});
  engine->read(0, UINT64_MAX);
  uint64_t random = 7;
  Latencies latencies;
  for (int turn = 0; turn < 20'000; turn++) {
    uint64_t time = records[next_random(random) % (records.size() - 100)].time - (turn & 1);
    latencies.time([&] {
      if (engine->read(time, 100).count != 100) fail("a seek found too little");
    });
  }
  Fields fields = {{"ops", 20'000}, {"ops_s", latencies.rate()}};
  latencies.add_to(fields);
  print(fields);
}

void exchange(Opening open, const std::string &folder) {
  constexpr uint32_t devices = 10'000, singles = 2'000, rounds = 5, group = 100;
  auto engine = open(folder, Use{true, true});
  std::vector<uint32_t> order(devices);
  uint64_t random = 99;
  for (uint32_t i = 0; i < devices; i++) order[i] = i;
  for (uint32_t i = devices - 1; i > 0; i--) {
    std::swap(order[i], order[next_random(random) % (i + 1)]);
  }
  uint8_t body[500];
  for (uint8_t &byte : body) byte = static_cast<uint8_t>(32 + next_random(random) % 90);
  Total total;
  auto enqueue = [&](uint32_t device, uint32_t number) {
    memcpy(body, &device, 4);
    memcpy(body + 4, &number, 4);
    engine->enqueue(device, number, body, sizeof body);
  };
  auto complete = [&](uint32_t device, size_t count) {
    auto numbers = engine->receive(device, count, total);
    if (numbers.size() != count) fail("a message is missing");
    for (uint32_t number : numbers) engine->remove(device, number);
  };
  auto committed = [&](Latencies &latencies, const std::function<void()> &work) {
    latencies.time([&] {
      engine->begin();
      work();
      engine->commit();
    });
  };
  Latencies single_sends, group_sends, group_receives, single_receives;
  for (uint32_t i = 0; i < singles; i++) {
    committed(single_sends, [&] { enqueue(devices + order[i], 1); });
  }
  for (uint32_t round = 1; round <= rounds; round++) {
    for (uint32_t at = 0; at < devices; at += group) {
      committed(group_sends, [&] {
        for (uint32_t i = at; i < at + group; i++) enqueue(order[i], round);
      });
    }
  }
  for (uint32_t at = 0; at < devices; at += group / rounds) {
    committed(group_receives, [&] {
      for (uint32_t i = at; i < at + group / rounds; i++) complete(order[devices - 1 - i], rounds);
    });
  }
  for (uint32_t i = 0; i < singles; i++) {
    committed(single_receives, [&] { complete(devices + order[i], 1); });
  }
  print({{"enq_sync1_ops", single_sends.rate()}, {"enq_sync1_p99_us", single_sends.percentile(.99)},
         {"enq_g100_ops", group_sends.rate() * group},
         {"rcv_g100_ops", group_receives.rate() * group},
         {"rcv_sync1_ops", single_receives.rate()},
         {"rcv_sync1_p99_us", single_receives.percentile(.99)}});
}

}  // namespace

int main(int count, char **words) {
  const std::map<std::string, Opening> engines = {
      {"bare", open_bare}, {"rocksdb", open_rocksdb}, {"lmdb", open_lmdb}, {"sqlite", open_sqlite}};
  std::vector<std::string> rest(words + 1, words + count);
  if (rest.size() == 4 && rest[0] == "limits") {
    print_limits(rest[1], map_records(words[3], std::stoul(rest[3])));
    return 0;
  }
  auto found = rest.size() < 3 ? engines.end() : engines.find(rest[0]);
  if (found == engines.end()) fail(usage);
  const std::string &workload = rest[1], &folder = rest[2];
  if (workload == "w4" && rest.size() == 3) {
    exchange(found->second, folder);
    return 0;
  }
  if (rest.size() < 5) fail(usage);
  auto records = map_records(words[4], std::stoul(rest[4]));
  if (workload == "w1" && rest.size() == 7) {
    append(found->second, folder, records, std::stoul(rest[5]), rest[6] == "batch");
  } else if (workload == "w2") {
    replay(found->second, folder, records);
  } else if (workload == "w3") {
    seek(found->second, folder, records);
  } else {
    fail(usage);
  }
}
