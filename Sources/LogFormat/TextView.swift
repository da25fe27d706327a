internal import EventModel

/// The values of a system property in a decoded batch (format-spec §6.4).
struct TextView: Sendable {
  /// For each record 0 for no value, or what its encoding says of it.
  private let entries: [UInt32]
  private let dictionary: [String]?
  /// Where each record's text begins and the last one ends, for texts that stand one behind the
  /// other.
  private let starts: [Int]

  /// Reads the structure from the columns, which `reader` is in.
  @_lifetime(reader: copy reader)
  init(
    from reader: inout ByteReader, in columns: RawSpan, count: Int
  ) throws(FormatError) {
    switch try reader.integer(UInt8.self) {
    case TextColumn.dictionaryEncoding:
      var texts: [String] = []
      for _ in 0..<(try reader.count(atMost: count)) {
        texts.append(try reader.text(sizeMax: Limits.eventSizeMax))
      }
      let column = try ColumnView(from: &reader, count: count)
      entries = try column.values(count, in: columns, below: UInt64(texts.count) + 1)
      dictionary = texts
      starts = []
    case TextColumn.plainEncoding:
      let column = try ColumnView(from: &reader, count: count)
      entries = try column.values(count, in: columns, below: UInt64(Limits.eventSizeMax) + 2)
      dictionary = nil
      var starts = [reader.position]
      var end = reader.position
      for entry in entries {
        end += max(0, Int(entry) - 1)
        starts.append(end)
      }
      try reader.skip(end - reader.position)
      self.starts = starts
    case let encoding:
      throw .unsupportedFeatures(UInt32(encoding))
    }
  }

  func text(at index: Int, in blocks: borrowing ByteBuffer) -> String? {
    let entry = Int(entries[index])
    guard entry > 0 else { return nil }
    if let dictionary { return dictionary[entry - 1] }
    return String(decoding: blocks.array(starts[index]..<starts[index + 1]), as: UTF8.self)
  }
}
