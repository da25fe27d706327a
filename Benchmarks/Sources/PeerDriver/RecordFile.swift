import Foundation

/// The records of a corpus file, mapped and touched before any clock starts.
///
/// The file is `[u32 size][u64 time in microseconds][record]`, one behind the other, little endian.
struct RecordFile: ~Copyable {
  /// A record where it lies in the map, which nobody writes to.
  struct Record: @unchecked Sendable {
    let time: Int64
    let bytes: UnsafeRawBufferPointer
  }

  private(set) var records: [Record] = []
  /// Bytes of all records.
  private(set) var size = 0
  /// Bytes of the file.
  var mappedSize: Int { map.count }
  private let map: UnsafeRawBufferPointer

  init(_ path: String, limit: Int = .max) throws {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    var status = stat()
    guard file >= 0, fstat(file, &status) == 0 else { throw POSIXError(.ENOENT) }
    defer { close(file) }
    let fileSize = Int(status.st_size)
    guard
      let start = mmap(nil, fileSize, PROT_READ, MAP_PRIVATE | Int32(MAP_POPULATE), file, 0),
      start != MAP_FAILED
    else { throw POSIXError(.ENOMEM) }
    map = UnsafeRawBufferPointer(start: start, count: fileSize)
    var position = 0
    while position + 12 <= fileSize, records.count < limit {
      let count = Int(map.loadUnaligned(fromByteOffset: position, as: UInt32.self))
      let time = map.loadUnaligned(fromByteOffset: position + 4, as: Int64.self)
      position += 12
      let bytes = UnsafeRawBufferPointer(rebasing: map[position..<position + count])
      records.append(Record(time: time, bytes: bytes))
      size += count
      position += count
    }
  }

  deinit { munmap(UnsafeMutableRawPointer(mutating: map.baseAddress), map.count) }
}
