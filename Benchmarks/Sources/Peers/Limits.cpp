// What the processor and the disk of this machine allow, without an engine.
#include <fcntl.h>
#include <lz4.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "Engine.h"

namespace {

constexpr size_t block_size = 64 << 10;

/// The median of five.
double seconds(const std::function<void()> &work) {
  double taken[5];
  for (double &time : taken) {
    double start = now();
    work();
    time = now() - start;
  }
  std::sort(std::begin(taken), std::end(taken));
  return taken[2];
}

/// Bytes a second, written in blocks of a MiB and synced once.
double sequential_write(const std::string &path, size_t size) {
  std::vector<char> block(1 << 20, 'x');
  int file = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  double start = now();
  for (size_t at = 0; at < size; at += block.size()) {
    if (pwrite(file, block.data(), block.size(), static_cast<off_t>(at)) < 0) fail(path);
  }
  if (fdatasync(file) != 0) fail(path);
  double taken = now() - start;
  close(file);
  return static_cast<double>(size) / taken;
}

}  // namespace

void print_limits(const std::string &folder, const std::vector<Record> &records) {
  std::vector<char> raw;
  for (const Record &record : records) {
    if (raw.size() > 64 << 20) break;
    raw.insert(raw.end(), record.bytes, record.bytes + record.size);
  }
  const size_t count = raw.size() / block_size;
  const double total = static_cast<double>(count * block_size);
  const size_t room = std::max<size_t>(LZ4_compressBound(block_size),
                                       ZSTD_compressBound(block_size));
  std::vector<char> copy(count * block_size), stored(count * room), plain(block_size);
  std::vector<size_t> sizes(count);
  auto block = [&](size_t i) { return raw.data() + i * block_size; };
  auto rate = [&](const std::function<void(size_t)> &work) {
    return total / seconds([&] {
             for (size_t i = 0; i < count; i++) work(i);
           });
  };
  std::vector<std::pair<std::string, double>> fields;
  fields.emplace_back("memory_copy", rate([&](size_t i) {
    memcpy(copy.data() + i * block_size, block(i), block_size);
  }));
  volatile uint64_t sink = 0;
  fields.emplace_back("byte_sum", rate([&](size_t i) { sink = byte_sum(block(i), block_size); }));
  fields.emplace_back("crc32c", rate([&](size_t i) {
    sink = bare_loop_checksum(block(i), block_size);
  }));
  fields.emplace_back("lz4_compress", rate([&](size_t i) {
    sizes[i] = static_cast<size_t>(LZ4_compress_default(
        block(i), stored.data() + i * room, block_size, static_cast<int>(room)));
  }));
  fields.emplace_back("lz4_decompress", rate([&](size_t i) {
    sink = static_cast<uint64_t>(LZ4_decompress_safe(
        stored.data() + i * room, plain.data(), static_cast<int>(sizes[i]), block_size));
  }));
  ZSTD_CCtx *compressor = ZSTD_createCCtx();
  fields.emplace_back("zstd_compress", rate([&](size_t i) {
    sizes[i] = ZSTD_compressCCtx(compressor, stored.data() + i * room, room, block(i),
                                 block_size, 1);
  }));
  ZSTD_freeCCtx(compressor);
  ZSTD_DCtx *decompressor = ZSTD_createDCtx();
  fields.emplace_back("zstd_decompress", rate([&](size_t i) {
    sink = ZSTD_decompressDCtx(decompressor, plain.data(), block_size, stored.data() + i * room,
                               sizes[i]);
  }));
  ZSTD_freeDCtx(decompressor);
  const std::string path = folder + "/limits";
  fields.emplace_back("sequential_write", sequential_write(path, size_t(256) << 20));
  fields.emplace_back("syncs", 1 / synced_write_seconds(path.c_str(), raw.data(), 4096, 1000));
  unlink(path.c_str());
  print(fields);
}
