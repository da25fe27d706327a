import CommitLog
import EventModel
import LogFormat
import SimulationKit

/// Records about device queues as the engine writes them (format-spec §14).
enum SampleRecords {
  static let letter = JournalEntry.DeadLetter(
    enqueued: Timestamp(microseconds: 1), expiry: Timestamp(microseconds: 2), feedback: .full)

  static func bytes(_ entries: JournalEntry..., number: UInt64? = nil) -> [UInt8] {
    var buffer = ByteBuffer()
    if let number { buffer.appendVariableLength(number) }
    for entry in entries { entry.encode(into: &buffer) }
    return buffer.array(0..<buffer.count)
  }

  static func settled(
    givesFeedback: Bool = false, _ letter: JournalEntry.DeadLetter? = nil
  ) -> JournalEntry {
    .settled(
      .init(
        sequence: 7, status: .rejected, givesFeedback: givesFeedback, deliveryCount: 1,
        description: "not mine", deadLetter: letter))
  }

  static let enqueued = JournalEntry.enqueued(
    .init(expiry: Timestamp(microseconds: .max), feedback: .full))

  /// The body of a record of a stream; the outcomes are of the record of that number.
  static func body(of stream: FileHeader.Stream, _ number: UInt64) -> [UInt8] {
    switch stream {
    case .events: SimulatedEvents.body(number)
    case .journal: bytes(enqueued) + SimulatedEvents.body(number)
    case .feedback: bytes(settled(givesFeedback: true), number: number)
    case .deadLetter: bytes(settled(letter), number: number) + SimulatedEvents.body(number)
    }
  }

  /// Writes records as one batch, and makes them durable.
  static func append(
    _ records: [(device: DeviceID, body: [UInt8])], to log: PartitionLog, at time: Timestamp
  ) throws {
    let batch = BatchEncoder(targetSize: 4 << 10)
    for (device, body) in records {
      batch.append(
        from: device, body: body.span.bytes, properties: .empty, at: time.microseconds)
    }
    _ = try log.write(batch)
    _ = try log.synchronize()
  }
}
