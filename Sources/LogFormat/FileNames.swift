package import EventModel

/// The names of a store's files (format-spec §11), made by arithmetic.
package enum FileNames {
  package static let manifest = "MANIFEST"
  package static let checkpoints = "CHECKPOINTS"
  package static let lock = "LOCK"
  /// Empty; stands while a folder is filled with a copy of a store.
  package static let unfinished = "UNFINISHED"
  package static let partitions = "partitions"
  package static let feedback = "feedback"
  package static let deadLetter = "dead-letter"
  package static let queues = "queues"
  /// The folder of the journal's segments, inside `queues`.
  package static let journal = "journal"
  package static let queueSuffix = ".queue"
  package static let directorySuffix = ".directory"
  package static let quarantine = "quarantine"
  package static let segmentSuffix = ".segment"
  package static let journalSuffix = ".journal"
  package static let indexSuffix = ".index"
  package static let footerSuffix = ".footer"
  /// What the temporary sibling of a file under replacement ends in.
  package static let replacementSuffix = ".new"

  /// The folder of a partition: three digits, four from 1,000 on.
  package static func partition(_ number: UInt32) -> String {
    decimal(UInt64(number), digits: 3)
  }

  /// The partition that a folder's name states, nil for other names and for partitions that no
  /// store has.
  package static func parsePartition(_ name: String) -> UInt32? {
    guard let number = UInt32(name), number < Limits.partitionCountMax, partition(number) == name
    else { return nil }
    return number
  }

  /// The stem of a segment's files: base number with 20 digits, id with 8 hexadecimal ones.
  package static func segmentStem(baseNumber: UInt64, segmentID: UInt64) -> String {
    decimal(baseNumber, digits: 20) + "-" + Hexadecimal.text(UInt32(truncatingIfNeeded: segmentID))
  }

  /// Whether something with the name, from the store's folder on, has to be a file: no folder of a
  /// store has a dot in its name.
  package static func isFile(_ name: String) -> Bool {
    let last = name.split(separator: "/").last ?? ""
    return [manifest, checkpoints, lock].contains(name) || last.contains(".")
  }

  /// Whether a name is one of a file that can be made again from its segment (I6).
  package static func isDerived(_ name: String) -> Bool {
    name.hasSuffix(indexSuffix) || name.hasSuffix(footerSuffix)
      || name.hasSuffix(footerSuffix + replacementSuffix)
  }

  /// Whether a name is one of a segment of events, of a stream or of the queues' journal.
  package static func isLog(_ name: String) -> Bool {
    name.hasSuffix(segmentSuffix) || name.hasSuffix(journalSuffix)
  }

  /// The base number and id that the name of a segment or of a file about it states, nil for other
  /// names.
  package static func parseSegmentStem(
    _ name: String
  ) -> (baseNumber: UInt64, segmentID: UInt64)? {
    let suffix = [
      segmentSuffix, journalSuffix, indexSuffix, footerSuffix, footerSuffix + replacementSuffix,
    ].first { name.hasSuffix($0) }
    guard let suffix else { return nil }
    let stem = name.dropLast(suffix.utf8.count)
    let parts = stem.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, parts[0].utf8.count == 20, parts[1].utf8.count == 8,
      let base = UInt64(parts[0]), base <= Limits.numberMax,
      let id = UInt64(parts[1], radix: 16),
      segmentStem(baseNumber: base, segmentID: id) == stem
    else { return nil }
    return (base, id)
  }

  /// The folder of a device's queue file, inside `queues`: the first byte of the device's hash.
  package static func queueFolder(of device: DeviceID) -> String {
    Hexadecimal.text(UInt8(device.hash >> 56))
  }

  /// The queue file of a device that a checkpoint wrote, inside its folder.
  package static func queueFile(of device: DeviceID, checkpoint: UInt32) -> String {
    "\(device)-\(Hexadecimal.text(checkpoint))\(queueSuffix)"
  }

  /// The device and the checkpoint that a queue file's name states, nil for other names.
  package static func parseQueueFile(
    _ name: String
  ) -> (device: DeviceID, checkpoint: UInt32)? {
    guard name.hasSuffix(queueSuffix) else { return nil }
    let stem = name.dropLast(queueSuffix.utf8.count)
    guard let dash = stem.lastIndex(of: "-"),
      let checkpoint = UInt32(stem[stem.index(after: dash)...], radix: 16),
      isCheckpoint(checkpoint)
    else { return nil }
    do throws(InvalidIdentifier) {
      let device = try DeviceID(stem[..<dash])
      return queueFile(of: device, checkpoint: checkpoint) == name ? (device, checkpoint) : nil
    } catch {
      return nil
    }
  }

  /// The directory of queue files that a checkpoint wrote, inside `queues`.
  package static func queueDirectory(checkpoint: UInt32) -> String {
    Hexadecimal.text(checkpoint) + directorySuffix
  }

  /// The checkpoint that a directory's name states, nil for other names.
  package static func parseQueueDirectory(_ name: String) -> UInt32? {
    guard name.hasSuffix(directorySuffix),
      let checkpoint = UInt32(name.dropLast(directorySuffix.utf8.count), radix: 16),
      isCheckpoint(checkpoint), queueDirectory(checkpoint: checkpoint) == name
    else { return nil }
    return checkpoint
  }

  /// Whether a checkpoint of the queues can have the number (format-spec §14.4).
  static func isCheckpoint(_ number: UInt32) -> Bool {
    (1...Limits.queueCheckpointMax).contains(number)
  }

  private static func decimal(_ value: UInt64, digits: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
  }
}
