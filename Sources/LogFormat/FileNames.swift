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

  /// The stem of a segment's files: base number with 20 digits, id with 8 hexadecimal ones.
  package static func segmentStem(baseNumber: UInt64, segmentID: UInt64) -> String {
    decimal(baseNumber, digits: 20) + "-" + Hexadecimal.text(UInt32(truncatingIfNeeded: segmentID))
  }

  /// Whether a name is one of a file that can be made again from its segment (I6).
  package static func isDerived(_ name: String) -> Bool {
    name.hasSuffix(indexSuffix) || name.hasSuffix(footerSuffix)
      || name.hasSuffix(footerSuffix + replacementSuffix)
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
      let base = UInt64(parts[0]), let id = UInt64(parts[1], radix: 16),
      segmentStem(baseNumber: base, segmentID: id) == stem
    else { return nil }
    return (base, id)
  }

  private static func decimal(_ value: UInt64, digits: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
  }
}
