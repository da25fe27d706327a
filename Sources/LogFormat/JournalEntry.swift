package import EventModel

/// One operation on a device's queue (format-spec §14.1).
///
/// A record of the journal is an event of the device whose body begins with an entry, or is a run
/// of them. Where an entry carries a message, the event's properties are the message's and its body
/// follows.
package enum JournalEntry: Hashable, Sendable {
  /// A message joined the queue; the record's number is its sequence number.
  case enqueued(Enqueued)
  /// A message was delivered and is hidden until it is settled or the lock runs out.
  case locked(Locked)
  /// A message left its lock unsettled and is at its place again.
  case returned(Returned)
  /// A message left the queue for good.
  case settled(Settled)
  /// The device is gone, and everything in its queue with it.
  case deviceRemoved

  package struct Enqueued: Hashable, Sendable {
    package var expiry: Timestamp
    package var feedback: FeedbackMode
    /// The sequence number that the message had before it became a dead letter; nil for a new one.
    package var deadLetter: UInt64?

    package init(expiry: Timestamp, feedback: FeedbackMode, deadLetter: UInt64? = nil) {
      self.expiry = expiry
      self.feedback = feedback
      self.deadLetter = deadLetter
    }
  }

  package struct Locked: Hashable, Sendable {
    package var sequence: UInt64
    /// 1 at the first delivery.
    package var deliveryCount: Int
    /// Microseconds until the lock runs out.
    package var duration: Int64

    package init(sequence: UInt64, deliveryCount: Int, duration: Int64) {
      self.sequence = sequence
      self.deliveryCount = deliveryCount
      self.duration = duration
    }
  }

  package struct Returned: Hashable, Sendable {
    package var sequence: UInt64
    package var deliveryCount: Int
    /// Not available before then; nil for at once.
    package var availableFrom: Timestamp?

    package init(sequence: UInt64, deliveryCount: Int, availableFrom: Timestamp? = nil) {
      self.sequence = sequence
      self.deliveryCount = deliveryCount
      self.availableFrom = availableFrom
    }
  }

  package struct Settled: Hashable, Sendable {
    package var sequence: UInt64
    package var status: SettlementStatus
    /// Whether the sender hears of it: the record carries the message's id then.
    package var givesFeedback: Bool
    package var deliveryCount: Int
    /// What the device said, or what happened in words.
    package var description: String
    /// The whole message follows, with what was known of it; nil where it is not kept.
    package var deadLetter: DeadLetter?

    package init(
      sequence: UInt64, status: SettlementStatus, givesFeedback: Bool, deliveryCount: Int,
      description: String, deadLetter: DeadLetter? = nil
    ) {
      self.sequence = sequence
      self.status = status
      self.givesFeedback = givesFeedback
      self.deliveryCount = deliveryCount
      self.description = description
      self.deadLetter = deadLetter
    }
  }

  /// What a message was enqueued with (format-spec §14.2).
  package struct DeadLetter: Hashable, Sendable {
    package var enqueued: Timestamp
    package var expiry: Timestamp
    package var feedback: FeedbackMode

    package init(enqueued: Timestamp, expiry: Timestamp, feedback: FeedbackMode) {
      self.enqueued = enqueued
      self.expiry = expiry
      self.feedback = feedback
    }
  }

  fileprivate enum Kind {
    static let enqueued: UInt8 = 1
    static let locked: UInt8 = 2
    static let returned: UInt8 = 3
    static let settled: UInt8 = 4
    static let deviceRemoved: UInt8 = 5
    static let sentAgain: UInt8 = 6
  }

  fileprivate enum Flag {
    static let feedback: UInt8 = 1
    static let deadLetter: UInt8 = 2
  }

  /// Bytes that a description may take.
  package static let descriptionSizeMax = 4 << 10

  package func encode(into buffer: inout ByteBuffer) {
    switch self {
    case .enqueued(let enqueued): enqueued.encode(into: &buffer)
    case .locked(let locked): locked.encode(into: &buffer)
    case .returned(let returned): returned.encode(into: &buffer)
    case .settled(let settled): settled.encode(into: &buffer)
    case .deviceRemoved: buffer.append(Kind.deviceRemoved)
    }
  }

  /// Decodes an entry at the start of a record's body.
  ///
  /// - Returns: the entry, and how many bytes it took; the message's body follows.
  /// - Throws: `.corrupt` for what is no entry, `.unsupportedFeatures` for one of a later program.
  package static func decode(
    _ bytes: RawSpan
  ) throws(FormatError) -> (entry: JournalEntry, size: Int) {
    var reader = ByteReader(bytes)
    let kind = try reader.integer(UInt8.self)
    let entry: JournalEntry
    switch kind {
    case Kind.enqueued, Kind.sentAgain:
      var enqueued = Enqueued(
        expiry: Timestamp(microseconds: try reader.integer()),
        feedback: try Self.feedback(try reader.integer()))
      if kind == Kind.sentAgain {
        enqueued.deadLetter = try reader.variableLengthNumber()
      }
      entry = .enqueued(enqueued)
    case Kind.locked:
      let sequence = try reader.variableLengthNumber()
      let count = try reader.count(atMost: Limits.deliveryCountMax)
      entry = .locked(
        Locked(
          sequence: sequence, deliveryCount: count, duration: Int64(try reader.count(atMost: .max)))
      )
    case Kind.returned:
      let sequence = try reader.variableLengthNumber()
      let count = try reader.count(atMost: Limits.deliveryCountMax)
      let from = try reader.integer(Int64.self)
      entry = .returned(
        Returned(
          sequence: sequence, deliveryCount: count,
          availableFrom: from == .min ? nil : Timestamp(microseconds: from)))
    case Kind.settled: entry = .settled(try decodeSettled(&reader))
    case Kind.deviceRemoved: entry = .deviceRemoved
    case 0: throw .corrupt("a journal entry is of kind 0")
    default: throw .unsupportedFeatures(UInt32(kind))
    }
    return (entry, reader.position)
  }

  @_lifetime(reader: copy reader)
  private static func decodeSettled(_ reader: inout ByteReader) throws(FormatError) -> Settled {
    let sequence = try reader.variableLengthNumber()
    let statusNumber = try reader.integer(UInt8.self)
    guard let status = SettlementStatus(rawValue: statusNumber) else {
      throw .unsupportedFeatures(UInt32(statusNumber))
    }
    let flags = try reader.integer(UInt8.self)
    guard flags & ~(Flag.feedback | Flag.deadLetter) == 0 else {
      throw .unsupportedFeatures(UInt32(flags))
    }
    var settled = Settled(
      sequence: sequence, status: status, givesFeedback: flags & Flag.feedback != 0,
      deliveryCount: try reader.count(atMost: Limits.deliveryCountMax),
      description: try reader.text(sizeMax: descriptionSizeMax))
    guard flags & Flag.deadLetter != 0 else { return settled }
    settled.deadLetter = DeadLetter(
      enqueued: Timestamp(microseconds: try reader.integer()),
      expiry: Timestamp(microseconds: try reader.integer()),
      feedback: try feedback(try reader.integer()))
    return settled
  }

  private static func feedback(_ number: UInt8) throws(FormatError) -> FeedbackMode {
    guard let mode = FeedbackMode(rawValue: number) else {
      throw .unsupportedFeatures(UInt32(number))
    }
    return mode
  }
}

/// Each as the entry that it is.
extension JournalEntry.Enqueued {
  package func encode(into buffer: inout ByteBuffer) {
    buffer.append(deadLetter == nil ? JournalEntry.Kind.enqueued : JournalEntry.Kind.sentAgain)
    buffer.append(expiry.microseconds)
    buffer.append(feedback.rawValue)
    if let deadLetter { buffer.appendVariableLength(deadLetter) }
  }
}

extension JournalEntry.Locked {
  package func encode(into buffer: inout ByteBuffer) {
    buffer.append(JournalEntry.Kind.locked)
    buffer.appendVariableLength(sequence)
    buffer.appendVariableLength(UInt64(deliveryCount))
    buffer.appendVariableLength(UInt64(duration))
  }
}

extension JournalEntry.Returned {
  fileprivate func encode(into buffer: inout ByteBuffer) {
    buffer.append(JournalEntry.Kind.returned)
    buffer.appendVariableLength(sequence)
    buffer.appendVariableLength(UInt64(deliveryCount))
    buffer.append(availableFrom?.microseconds ?? .min)
  }
}

extension JournalEntry.Settled {
  package func encode(into buffer: inout ByteBuffer) {
    buffer.append(JournalEntry.Kind.settled)
    buffer.appendVariableLength(sequence)
    buffer.append(status.rawValue)
    buffer.append(
      (givesFeedback ? JournalEntry.Flag.feedback : 0)
        | (deadLetter == nil ? 0 : JournalEntry.Flag.deadLetter))
    buffer.appendVariableLength(UInt64(deliveryCount))
    buffer.appendText(description)
    guard let deadLetter else { return }
    buffer.append(deadLetter.enqueued.microseconds)
    buffer.append(deadLetter.expiry.microseconds)
    buffer.append(deadLetter.feedback.rawValue)
  }
}
