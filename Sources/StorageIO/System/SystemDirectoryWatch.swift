internal import Glibc
internal import SystemPackage

/// Changes as inotify(7) tells them.
///
/// Sendable because its descriptors never change and the system's calls on them are safe from any
/// thread.
final class SystemDirectoryWatch: DirectoryWatch {
  private let events: Int32
  /// Closing the writing end is what ends a wait.
  private let stopReading: Int32
  private let stopWriting: Int32

  private static let mask = UInt32(
    IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_CLOSE_WRITE)

  init?(_ directories: [FilePath]) {
    let events = inotify_init1(Int32(IN_NONBLOCK) | Int32(IN_CLOEXEC))
    guard events >= 0 else { return nil }
    var ends: (Int32, Int32) = (-1, -1)
    // SAFETY: the tuple is two descriptors side by side, which is what the call fills in.
    let isPiped = unsafe withUnsafeMutableBytes(of: &ends) { bytes in
      unsafe pipe(bytes.bindMemory(to: Int32.self).baseAddress) == 0
    }
    guard isPiped else {
      close(events)
      return nil
    }
    self.events = events
    (stopReading, stopWriting) = ends
    for end in [stopReading, stopWriting] { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    for directory in directories {
      // SAFETY: the path is valid for the closure, which is all the time the call uses it.
      let watch = unsafe directory.withPlatformString {
        unsafe inotify_add_watch(events, $0, Self.mask)
      }
      // A directory that is gone, or one too many, is looked at only when the patience ends.
      guard watch >= 0 else { continue }
    }
  }

  deinit {
    close(events)
    close(stopReading)
    close(stopWriting)
  }

  func wait(_ patience: Duration) {
    let milliseconds = Int32(clamping: Int(patience / .milliseconds(1)))
    var waiting = [
      pollfd(fd: events, events: Int16(POLLIN), revents: 0),
      pollfd(fd: stopReading, events: Int16(POLLIN), revents: 0),
    ]
    // SAFETY: the array has the two elements that the call is told of.
    unsafe _ = poll(&waiting, 2, milliseconds)
    drain()
  }

  /// Takes the news away; what they say is looked up anyway.
  private func drain() {
    var buffer = [UInt8](repeating: 0, count: 4 << 10)
    while true {
      // SAFETY: the buffer has the size that the call is told.
      let count = unsafe buffer.withUnsafeMutableBytes { bytes in
        unsafe read(events, bytes.baseAddress, bytes.count)
      }
      guard count > 0 else { return }
    }
  }

  func stop() {
    var byte: UInt8 = 0
    // SAFETY: one byte of a local variable; never taken out again, so that every wait sees it.
    unsafe _ = write(stopWriting, &byte, 1)
  }
}
