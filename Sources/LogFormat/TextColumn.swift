internal import EventModel

/// One system property's values in a batch under construction (format-spec §6.4).
///
/// Values that repeat (content types, users) go through a dictionary; values that are usually
/// unique (ids, times) stand one behind the other.
struct TextColumn {
  private let isPlain: Bool
  private var numbers: [String: UInt64] = [:]
  private var texts: [String] = []
  private var entries: [UInt64] = []
  private var last: (text: String, entry: UInt64)?

  static let dictionaryEncoding: UInt8 = 1
  static let plainEncoding: UInt8 = 2

  init(_ property: SystemProperty) {
    switch property {
    case .messageID, .correlationID, .creationTime: isPlain = true
    default: isPlain = false
    }
  }

  /// Sets the value of record `index`; records passed over have none.
  mutating func set(_ text: String, at index: Int) {
    entries.append(contentsOf: repeatElement(0, count: index - entries.count))
    if isPlain {
      texts.append(text)
      entries.append(UInt64(text.utf8.count) + 1)
    } else if let last, last.text == text {
      entries.append(last.entry)
    } else {
      let entry = numbers[text] ?? add(text)
      last = (text, entry)
      entries.append(entry)
    }
  }

  private mutating func add(_ text: String) -> UInt64 {
    texts.append(text)
    let entry = UInt64(texts.count)
    numbers[text] = entry
    return entry
  }

  func append(to buffer: inout ByteBuffer, count: Int) {
    let all = entries + repeatElement(0, count: count - entries.count)
    if isPlain {
      buffer.append(Self.plainEncoding)
      IntegerColumn.append(all, to: &buffer)
      for text in texts { buffer.append(text) }
    } else {
      buffer.append(Self.dictionaryEncoding)
      buffer.appendVariableLength(UInt64(texts.count))
      for text in texts { buffer.appendText(text) }
      IntegerColumn.append(all, to: &buffer)
    }
  }
}
