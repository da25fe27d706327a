internal import CSystemShims
internal import EventModel
internal import Glibc
internal import SystemPackage

/// The operating system's calls, one function each, with the error as a thrown `Errno`.
///
/// An interrupted call is made again, except close: whether the descriptor is gone then is the
/// system's secret, and closing it twice may close another's.
enum SystemCalls {
  private static func retrying(_ call: () -> Int) throws(Errno) -> Int {
    while true {
      let result = call()
      if result >= 0 { return result }
      let reason = Errno(rawValue: errno)
      guard reason == .interrupted else { throw reason }
    }
  }

  /// For calls of the C shims, which return the error number.
  private static func checking(_ call: () -> Int32) throws(Errno) {
    while true {
      let result = call()
      if result == 0 { return }
      let reason = Errno(rawValue: result)
      guard reason == .interrupted else { throw reason }
    }
  }

  // SAFETY, for every path below: withPlatformString ends the string with a zero and keeps it valid
  // for its closure, which is all the time the call uses it.

  static func open(
    _ path: FilePath, _ flags: Int32, mode: mode_t = 0
  ) throws(Errno) -> Int32 {
    let file = try retrying {
      unsafe path.withPlatformString { Int(unsafe Glibc.open($0, flags | O_CLOEXEC, mode)) }
    }
    return Int32(truncatingIfNeeded: file)
  }

  static func synchronizeFileSystem(of file: Int32) throws(Errno) {
    try checking { millrace_synchronize_file_system(file) }
  }

  static func close(_ file: Int32) {
    _ = Glibc.close(file)
  }

  /// What is at a path, without following a link at its end.
  static func status(of path: FilePath) throws(Errno) -> stat {
    var result = stat()
    _ = try retrying { unsafe path.withPlatformString { Int(unsafe lstat($0, &result)) } }
    return result
  }

  static func status(of file: Int32) throws(Errno) -> stat {
    var result = stat()
    _ = try retrying { Int(unsafe fstat(file, &result)) }
    return result
  }

  /// The position behind the last byte; moves the descriptor's own, which nothing here uses.
  static func end(of file: Int32) throws(Errno) -> Int {
    try retrying { lseek(file, 0, SEEK_END) }
  }

  /// Where bytes are kept next; moves the descriptor's own position, too.
  ///
  /// - Throws: `.noSuchAddressOrDevice` where none are.
  static func dataStart(of file: Int32, from position: Int) throws(Errno) -> Int {
    try retrying { Int(millrace_data_start(file, Int64(position))) }
  }

  /// Reads up to the buffer's end or the file's.
  static func read(
    _ file: Int32, into buffer: UnsafeMutableRawBufferPointer, at position: Int
  ) throws(Errno) -> Int {
    guard let base = buffer.baseAddress else { return 0 }
    var done = 0
    while done < buffer.count {
      // SAFETY: done < count, so base + done and the rest of the count lie inside the buffer.
      let count = try retrying {
        unsafe pread(file, base + done, buffer.count - done, position + done)
      }
      if count == 0 { break }
      done += count
    }
    return done
  }

  /// Reads what the page cache holds; nil where that is not all of it.
  ///
  /// At the end of the file that cannot be told apart, and is nil too.
  static func readResident(
    _ file: Int32, into buffer: UnsafeMutableRawBufferPointer, at position: Int
  ) throws(Errno) -> Int? {
    guard let base = buffer.baseAddress else { return 0 }
    do throws(Errno) {
      // SAFETY: the buffer is valid for the call, and its size is exact.
      let count = try retrying {
        unsafe millrace_read_resident(file, base, buffer.count, Int64(position))
      }
      return count == buffer.count ? count : nil
    } catch .wouldBlock, .notSupported, .noFunction {
      return nil
    }
  }

  /// Writes all bytes; a short write is continued and its cause surfaces with the next call.
  static func write(
    _ file: Int32, _ bytes: UnsafeRawBufferPointer, at position: Int
  ) throws(Errno) {
    guard let base = bytes.baseAddress else { return }
    var done = 0
    while done < bytes.count {
      // SAFETY: done < count, so base + done and the rest of the count lie inside the buffer.
      let count = try retrying {
        unsafe pwrite(file, base + done, bytes.count - done, position + done)
      }
      if count == 0 { throw .ioError }
      done += count
    }
  }

  static func synchronizeData(_ file: Int32) throws(Errno) {
    _ = try retrying { Int(fdatasync(file)) }
  }

  static func synchronize(_ file: Int32) throws(Errno) {
    _ = try retrying { Int(fsync(file)) }
  }

  static func truncate(_ file: Int32, to size: Int) throws(Errno) {
    _ = try retrying { Int(ftruncate(file, size)) }
  }

  static func reserve(_ file: Int32, from start: Int, count: Int) throws(Errno) {
    try checking { millrace_reserve(file, Int64(start), Int64(count)) }
  }

  static func punchHole(_ file: Int32, from start: Int, count: Int) throws(Errno) {
    try checking { millrace_punch_hole(file, Int64(start), Int64(count)) }
  }

  /// False if another open file description holds the lock.
  static func lockExclusively(_ file: Int32) throws(Errno) -> Bool {
    do throws(Errno) {
      try checking { millrace_lock_exclusively(file) }
      return true
    } catch {
      if error == .resourceTemporarilyUnavailable || error == .permissionDenied { return false }
      throw error
    }
  }

  static func isLocked(_ file: Int32) throws(Errno) -> Bool {
    var isLocked: Int32 = 0
    try checking { unsafe millrace_is_locked(file, &isLocked) }
    return isLocked != 0
  }

  /// Maps the first `size` bytes, read-only and shared with the file.
  static func map(_ file: Int32, size: Int) throws(Errno) -> UnsafeRawPointer {
    // SAFETY: the system chooses the address; the region belongs to the caller until unmapped.
    guard let region = unsafe mmap(nil, size, PROT_READ, MAP_SHARED, file, 0),
      unsafe region != MAP_FAILED
    else { throw Errno(rawValue: errno) }
    return UnsafeRawPointer(region)
  }

  static func makeDirectory(_ path: FilePath) throws(Errno) {
    _ = try retrying { unsafe path.withPlatformString { Int(unsafe mkdir($0, 0o755)) } }
  }

  static func removeDirectory(_ path: FilePath) throws(Errno) {
    _ = try retrying { unsafe path.withPlatformString { Int(unsafe rmdir($0)) } }
  }

  static func unlink(_ path: FilePath) throws(Errno) {
    _ = try retrying { unsafe path.withPlatformString { Int(unsafe Glibc.unlink($0)) } }
  }

  static func rename(_ path: FilePath, to target: FilePath) throws(Errno) {
    _ = try retrying {
      unsafe path.withPlatformString { from in
        unsafe target.withPlatformString { to in Int(unsafe Glibc.rename(from, to)) }
      }
    }
  }

  static func link(_ path: FilePath, to target: FilePath) throws(Errno) {
    _ = try retrying {
      unsafe path.withPlatformString { from in
        unsafe target.withPlatformString { to in Int(unsafe Glibc.link(from, to)) }
      }
    }
  }

  /// The names in a directory, without `.` and `..`, in the system's order.
  static func names(in path: FilePath) throws(Errno) -> [String] {
    // SAFETY: the stream is closed on every way out and used by this function alone; an entry is
    // read before the next call replaces it, and its name ends with a zero.
    guard let stream = unsafe path.withPlatformString({ unsafe opendir($0) }) else {
      throw Errno(rawValue: errno)
    }
    defer { unsafe _ = closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = unsafe readdir(stream) else {
        if errno != 0 { throw Errno(rawValue: errno) }
        return names
      }
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { field in
        let text = unsafe UnsafeRawPointer(field).assumingMemoryBound(to: CChar.self)
        return unsafe String(cString: text)
      }
      if name != "." && name != ".." { names.append(name) }
    }
  }

  /// Wall-clock time in microseconds since the epoch.
  static func wallClockMicroseconds() -> Int64 {
    var time = timespec()
    let result = unsafe clock_gettime(CLOCK_REALTIME, &time)
    precondition(result == 0, "the system has no wall clock")
    return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
  }

  /// Microseconds of a clock that nobody sets and that goes on while the machine sleeps.
  static func steadyClockMicroseconds() -> Int64 {
    var time = timespec()
    let result = unsafe clock_gettime(CLOCK_BOOTTIME, &time)
    precondition(result == 0, "the system has no steady clock")
    return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
  }

  static var processID: Int32 { getpid() }
}
