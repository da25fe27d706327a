import CommandSupport
import EventModel
import Glibc

/// The file that names what is durable: a line `INPUT-LINE PARTITION SEQUENCE` for each event.
///
/// Never names an event before its sync has returned.
@safe
struct AckLog: ~Copyable {
  private let path: String
  private let descriptor: Int32
  private var buffer: [UInt8] = []

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
  mutating func append(_ group: AckGroup) throws(CommandFailure) {
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
    let failure = Descriptor.write(buffer[...], to: descriptor)
    guard failure == 0 else {
      throw CommandFailure(
        "cannot write the ack log \(path): \(SystemMessage.text(failure)); what it does not name "
          + "may still be in the store")
    }
  }
}
