import CommandSupport
import EventModel
import Glibc

/// The ack log cannot be written; what was appended is in the store all the same.
struct AckLogFailure: Error {
  let path: String
  let errno: Int32
  /// Events that the log names.
  let named: Int

  /// What to tell of it, with the number of events that are durable at the end.
  func failure(durable count: Int) -> CommandFailure {
    CommandFailure(
      "cannot write the ack log \(path): \(SystemMessage.text(errno)); \(count - named) events are "
        + "durable without a line there: free some space or name another file, and do not ingest "
        + "them again")
  }
}

/// The file that names what is durable: a line `INPUT-LINE PARTITION SEQUENCE` for each event.
///
/// Never names an event before its sync has returned.
@safe
struct AckLog: ~Copyable {
  private let path: String
  private let descriptor: Int32
  private var buffer: [UInt8] = []
  /// Events that were named.
  private var named = 0

  /// Opens the file to append to it, and makes it if there is none.
  init(_ path: String) throws(CommandFailure) {
    self.path = path
    // SAFETY: the path is passed as a C string that lives for the call.
    descriptor = unsafe open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw CommandFailure(
        "cannot open the ack log \(path): \(SystemMessage.text(errno)); name a file that can be "
          + "written")
    }
  }

  deinit { _ = Glibc.close(descriptor) }

  /// Appends the lines of a group in one write.
  mutating func append(_ group: AckGroup) throws(AckLogFailure) {
    guard !group.entries.isEmpty else { return }
    buffer.removeAll(keepingCapacity: true)
    for entry in group.entries {
      JSONWriter.appendInteger(entry.line, to: &buffer)
      buffer.append(UInt8(ascii: " "))
      JSONWriter.appendInteger(entry.position.partition.number, to: &buffer)
      buffer.append(UInt8(ascii: " "))
      JSONWriter.appendInteger(entry.position.offset.value, to: &buffer)
      buffer.append(0x0a)
    }
    var done = 0
    let failure = Descriptor.write(buffer[...], to: descriptor, done: &done)
    // A line that is cut names nothing.
    named += buffer[..<done].count { $0 == 0x0a }
    guard failure == 0 else { throw AckLogFailure(path: path, errno: failure, named: named) }
  }
}
