package import EventModel

/// What a queue file, or the directory of queue files, says of a message beside the message itself
/// (format-spec §14.4).
package struct FiledMessage: Hashable, Sendable {
  package var sequence: UInt64
  package var expiry: Timestamp
  package var feedback: FeedbackMode
  package var deliveryCount: Int
  /// Not available before then; nil for at once.
  package var availableFrom: Timestamp?
  /// Whether it was locked when it was filed.
  package var isLocked: Bool
  /// Whether the message itself could not be read any more when the file was written.
  package var isLost = false

  package init(
    sequence: UInt64, expiry: Timestamp, feedback: FeedbackMode, deliveryCount: Int,
    availableFrom: Timestamp? = nil, isLocked: Bool = false
  ) {
    self.sequence = sequence
    self.expiry = expiry
    self.feedback = feedback
    self.deliveryCount = deliveryCount
    self.availableFrom = availableFrom
    self.isLocked = isLocked
  }

  private enum Flag {
    static let locked: UInt8 = 1
    static let delayed: UInt8 = 2
    static let lost: UInt8 = 4
  }

  package func encode(into buffer: inout ByteBuffer) {
    buffer.appendVariableLength(sequence)
    buffer.append(expiry.microseconds)
    buffer.append(feedback.rawValue)
    buffer.append(
      (isLocked ? Flag.locked : 0) | (availableFrom == nil ? 0 : Flag.delayed)
        | (isLost ? Flag.lost : 0))
    buffer.appendVariableLength(UInt64(deliveryCount))
    if let availableFrom { buffer.append(availableFrom.microseconds) }
  }

  /// Decodes one; where it stands in a queue file, the message's body follows.
  ///
  /// - Throws: `.corrupt` for what is none, `.unsupportedFeatures` for one of a later program.
  @_lifetime(reader: copy reader)
  package init(decoding reader: inout ByteReader) throws(FormatError) {
    sequence = try reader.variableLengthNumber()
    expiry = Timestamp(microseconds: try reader.integer())
    let mode = try reader.integer(UInt8.self)
    guard let feedback = FeedbackMode(rawValue: mode) else {
      throw .unsupportedFeatures(UInt32(mode))
    }
    self.feedback = feedback
    let flags = try reader.integer(UInt8.self)
    guard flags & ~(Flag.locked | Flag.delayed | Flag.lost) == 0 else {
      throw .unsupportedFeatures(UInt32(flags))
    }
    deliveryCount = try reader.count(atMost: Limits.deliveryCountMax)
    availableFrom =
      flags & Flag.delayed == 0 ? nil : Timestamp(microseconds: try reader.integer())
    isLocked = flags & Flag.locked != 0
    isLost = flags & Flag.lost != 0
  }
}

/// What the directory says of a device's queue file: one record of the directory; those of a device
/// follow each other (format-spec §14.5).
package struct FiledQueue: Sendable {
  /// The checkpoint that wrote the file.
  package var checkpoint: UInt32
  /// Whether the file does not say what the directory does: it has to be written anew.
  package var isOutdated: Bool
  /// The messages, and the bytes of each.
  package var messages: [(message: FiledMessage, size: Int)]

  /// Messages in a record, at most.
  package static let messageCountMax = 1_000

  package init(
    checkpoint: UInt32, isOutdated: Bool, messages: [(message: FiledMessage, size: Int)] = []
  ) {
    self.checkpoint = checkpoint
    self.isOutdated = isOutdated
    self.messages = messages
  }

  package func encode(into buffer: inout ByteBuffer) {
    buffer.append(checkpoint)
    buffer.append(UInt8(isOutdated ? 1 : 0))
    buffer.appendVariableLength(UInt64(messages.count))
    for (message, size) in messages {
      message.encode(into: &buffer)
      buffer.appendVariableLength(UInt64(size))
    }
  }

  /// - Throws: ``FormatError`` for what is no record of a directory.
  package init(decoding bytes: RawSpan) throws(FormatError) {
    var reader = ByteReader(bytes)
    checkpoint = try reader.checkpoint()
    let flags = try reader.integer(UInt8.self)
    guard flags <= 1 else { throw .unsupportedFeatures(UInt32(flags)) }
    isOutdated = flags == 1
    messages = []
    for _ in 0..<(try reader.count(atMost: Self.messageCountMax)) {
      let message = try FiledMessage(decoding: &reader)
      messages.append((message, try reader.count(atMost: Limits.messageSizeMax)))
    }
    guard reader.remaining == 0 else {
      throw .corrupt("\(reader.remaining) bytes follow a record of the queues' directory")
    }
  }
}
