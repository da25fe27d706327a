import CommandSupport
import EventModel
import LogFormat
import LogInspection
import SystemPackage

/// Prints what a walk over a store's files meets, as text or as JSON.
final class DumpPrinter {
  /// What is shown.
  struct Selection {
    var frames: Bool
    var records: Bool
    var hex: Bool
    var json: Bool
    /// Whether entries of indexes are shown; otherwise they are counted.
    var indexEntries: Bool

    /// Whether files and the entries in them are shown.
    var entries: Bool { !json || (!frames && !records) }
  }

  private let selection: Selection
  private var output = StandardOutput()
  private var bytes: DumpedBytes
  private var tally = FileTally()
  private var failure: OutputFailure?
  /// Places that are more than what a crash may leave.
  private(set) var damageCount = 0
  /// What only a later program can read: not damaged, as far as is known.
  private(set) var firstUnsupported: Damage?

  /// Prints the files below a folder, or one file.
  init(_ selection: Selection, root: FilePath?) {
    self.selection = selection
    bytes = DumpedBytes(root: root)
  }

  /// Prints one item; stops the walk when nothing can be printed any more.
  func show(_ item: InspectedItem) -> WalkStep {
    do throws(OutputFailure) {
      switch item {
      case .file(let file): try show(file)
      case .frame(let frame): try show(frame)
      case .record(let record): try show(record)
      case .manifestEdit(let edit):
        try show("edit", edit.number, edit.entry.text, json: ["manifestEdit": edit.json])
      case .checkpointEntry(let entry):
        try show("entry", entry.number, entry.entry.text, json: ["checkpointEntry": entry.json])
      case .indexEntry(let entry):
        tally.indexEntryCount += 1
        try showShortcut(
          "entry", entry.number, entry.entry.text, json: ["indexEntry": entry.json],
          in: entry.file, entry.position..<entry.position + IndexEntry.size)
      case .footerBatch(let batch):
        tally.footerBatchCount += 1
        try showShortcut(
          "batch", batch.number, batch.entry.text, json: ["footerBatch": batch.json],
          in: batch.file, batch.position..<batch.position + FooterBatch.size)
      case .footerDevice(let device):
        tally.footerDeviceCount += 1
        try showShortcut(
          "device", device.number, device.entry.text, json: ["footerDevice": device.json],
          in: device.file, device.position..<device.position + FooterDevice.size)
      case .damage(let damage): try show(damage)
      }
      return .goOn
    } catch {
      failure = error
      return .stop
    }
  }

  /// Writes what is left.
  func finish() throws(OutputFailure) {
    if let failure { throw failure }
    try endFile()
    try output.flush()
  }

  // MARK: Files and entries

  private func show(_ file: InspectedFile) throws(OutputFailure) {
    try endFile()
    tally = FileTally()
    guard selection.entries else { return }
    guard !selection.json else { return try output.write(file.json.line) }
    try output.writeLine(file.text)
    if selection.hex {
      try hexdump(bytes.read(file.name, 0..<min(file.size, FileHeader.size)), at: 0)
    }
  }

  /// Sums up what of a file was not shown.
  private func endFile() throws(OutputFailure) {
    guard selection.entries, !selection.json, let text = tally.text else { return }
    try output.writeLine("  \(text)")
    tally = FileTally()
  }

  private func show(
    _ word: String, _ number: UInt64, _ text: String, json: JSONValue
  ) throws(OutputFailure) {
    guard selection.entries else { return }
    if selection.json {
      try output.write(json.line)
    } else {
      try output.writeLine("  \(word) \(number): \(text)")
    }
  }

  /// Shows an entry of a file that was derived from a segment, where such entries are wanted.
  private func showShortcut(
    _ word: String, _ number: UInt64, _ text: String, json: JSONValue, in file: String,
    _ range: Range<Int>
  ) throws(OutputFailure) {
    guard selection.indexEntries || (selection.json && selection.entries) else { return }
    if selection.json {
      try output.write(json.line)
    } else {
      try output.writeLine("  \(word) \(number): \(text)")
      if selection.hex { try hexdump(bytes.read(file, range), at: range.lowerBound) }
    }
  }

  private func show(_ damage: Damage) throws(OutputFailure) {
    if damage.kind == .unsupported {
      firstUnsupported = firstUnsupported ?? damage
    } else if damage.kind.severity > .note {
      damageCount += 1
    }
    if selection.json {
      try output.write((["damage": damage.json] as JSONValue).line)
    } else {
      // Names its file: what is damaged may be that there is no file.
      try output.writeLine(
        "  \(damage.kind.rawValue) in \(damage.file) at \(damage.position): \(damage.detail)")
    }
  }

  // MARK: Frames and records

  private func show(_ frame: InspectedFrame) throws(OutputFailure) {
    tally.add(frame)
    guard selection.frames else { return }
    let range = frame.position..<frame.frame.end
    if selection.json {
      var json = frame.json
      if selection.hex { json.append("hex", .string(bytes.read(frame.file, range).hexadecimal)) }
      try output.write(json.line)
    } else {
      try output.writeLine("  \(frame.text)")
      if selection.hex { try hexdump(bytes.read(frame.file, range), at: range.lowerBound) }
    }
  }

  private func show(_ record: InspectedRecord) throws(OutputFailure) {
    guard selection.records else { return }
    let queueRecord = record.queueRecord
    let place = EventLine.Place(
      partition: Int(record.partition),
      sequenceNumber: queueRecord?.sequenceNumber ?? record.sequenceNumber,
      enqueuedTime: record.enqueuedTime)
    let body = queueRecord?.body ?? record.body
    var more = queueRecord?.members ?? []
    if selection.hex, selection.json {
      more.append(JSONValue.Member("bodyHex", .string(body.bytes.hexadecimal)))
    }
    output.append { line in
      if !selection.json { line += "    ".utf8 }
      record.batch.withDeviceID(at: record.index) { device in
        body.withBytes { body in
          EventLine.append(
            place, deviceID: device, systemProperties: record.systemProperties,
            properties: record.properties, body: body, more: more, to: &line)
        }
      }
    }
    if selection.hex, !selection.json { try hexdump(body.bytes, at: 0) }
    try output.flushIfFull()
  }

  /// Prints sixteen bytes a line: where they stand, their numbers, their characters.
  private func hexdump(
    _ bytes: some RandomAccessCollection<UInt8>, at position: Int
  ) throws(OutputFailure) {
    var position = position
    var rest = bytes[...]
    while !rest.isEmpty {
      let line = Array(rest.prefix(16))
      let numbers = line.map { Hexadecimal.text($0) }.joined(separator: " ")
      let padding = String(repeating: " ", count: 16 * 3 - 1 - numbers.utf8.count)
      let characters = line.map { 0x20..<0x7f ~= $0 ? Character(Unicode.Scalar($0)) : "." }
      try output.writeLine(
        "    \(Hexadecimal.text(UInt32(truncatingIfNeeded: position)))  \(numbers)\(padding)  "
          + String(characters))
      position += line.count
      rest = rest.dropFirst(line.count)
    }
  }
}

extension Collection<UInt8> {
  /// Two digits for each byte.
  fileprivate var hexadecimal: String { map { Hexadecimal.text($0) }.joined() }
}

/// The bytes of files that a walk names.
struct DumpedBytes {
  let root: FilePath?

  /// The bytes of a range as far as they can be read.
  ///
  /// What cannot be read has been told as damage where the walk came by.
  func read(_ name: String, _ range: Range<Int>) -> [UInt8] {
    do {
      let file = try FileDescriptor.open(
        root.map { $0.appending(name) } ?? FilePath(name), .readOnly)
      return try file.closeAfter {
        var bytes = [UInt8](repeating: 0, count: range.count)
        // SAFETY: the call fills in at most the array's bytes, which stay in place meanwhile.
        let count = try unsafe bytes.withUnsafeMutableBytes { buffer in
          try unsafe file.read(fromAbsoluteOffset: Int64(range.lowerBound), into: buffer)
        }
        return Array(bytes.prefix(count))
      }
    } catch {
      return []
    }
  }
}
