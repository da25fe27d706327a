import CommandSupport
import Millrace

/// Writes events to standard output and remembers how far it is in each partition.
final class EventPrinter {
  /// How an event looks.
  enum Format {
    case json, body
    /// Records of the streams of those names.
    case feedback, deadLetters
  }

  /// What is printed.
  struct Selection {
    /// The devices' names; nil for all.
    var devices: [[UInt8]]?
    /// Events before it are passed over.
    var from: Timestamp?
    /// At the first event from then on a partition ends.
    var until: Timestamp?
    /// The number of events.
    var count = Int.max
    /// Dead letters that are in their queues again, by their sequence numbers.
    var sentAgain: Set<UInt64> = []
  }

  /// How printing a run ended.
  enum Outcome {
    /// All its events are done.
    case ended
    /// Another partition's event comes first.
    case overtaken
    /// The partition has no more events that are wanted.
    case pastEnd
    /// As many events as were wanted are printed.
    case enough
  }

  private let format: Format
  private let selection: Selection
  private var remaining: Int
  private var output = StandardOutput()
  /// The next offset of each partition that events were printed of.
  private(set) var positions: [PartitionID: Offset] = [:]
  /// The same, as far as it was flushed.
  private(set) var flushedPositions: [PartitionID: Offset] = [:]
  private(set) var gapCount = 0

  init(_ format: Format, _ selection: Selection) {
    self.format = format
    self.selection = selection
    remaining = selection.count
  }

  /// Whether as many events as were wanted are printed.
  var isDone: Bool { remaining == 0 }

  /// Whether a batch ends behind the last time that is wanted.
  func isPastEnd(_ batch: EventBatch) -> Bool {
    guard let until = selection.until, let last = batch.last else { return false }
    return last.enqueuedTime >= until
  }

  /// Prints the events that come before another partition's next one.
  func print(
    _ run: inout EventRun, slot: Int, before rival: EventMerger.Head?
  ) throws(OutputFailure) -> Outcome {
    while true {
      var outcome: Outcome?
      output.append { bytes in outcome = fill(&bytes, with: &run, slot: slot, before: rival) }
      let batch = run.batch
      if run.index > batch.startIndex {
        positions[batch.partition] = batch[run.index - 1].position.offset.advanced(by: 1)
      }
      if try output.flushIfFull() { flushedPositions = positions }
      if let outcome { return outcome }
    }
  }

  /// Prints until the buffer is full; nil if that is why it ended.
  private func fill(
    _ bytes: inout [UInt8], with run: inout EventRun, slot: Int, before rival: EventMerger.Head?
  ) -> Outcome? {
    let partition = run.batch.partition.number
    while run.index < run.end {
      guard remaining > 0 else { return .enough }
      let event = run.batch[run.index]
      let time = event.enqueuedTime
      if let rival, rival < EventMerger.Head(time: time, slot: slot) { return .overtaken }
      if let until = selection.until, time >= until { return .pastEnd }
      run.index += 1
      if let from = selection.from, time < from { continue }
      if let devices = selection.devices, !isWanted(event, devices) { continue }
      if case .deadLetters = format, isSentAgain(event) { continue }
      remaining -= 1
      append(event, partition, time, to: &bytes)
      if bytes.count >= StandardOutput.bufferSize { return nil }
    }
    return remaining > 0 ? .ended : .enough
  }

  /// Prints some events in the order of their times, then of their partitions.
  func print(_ events: [EventView]) throws(OutputFailure) {
    let sorted = events.sorted {
      ($0.enqueuedTime, $0.position.partition, $0.position.offset)
        < ($1.enqueuedTime, $1.position.partition, $1.position.offset)
    }
    for event in sorted {
      if case .deadLetters = format, isSentAgain(event) { continue }
      output.append { bytes in
        append(event, event.position.partition.number, event.enqueuedTime, to: &bytes)
      }
      _ = try output.flushIfFull()
    }
    try output.flush()
  }

  /// Whether a record of the dead letters tells of one that is none any more.
  private func isSentAgain(_ event: EventView) -> Bool {
    guard event.sentAgainSequenceNumber == nil else { return true }
    guard !selection.sentAgain.isEmpty, let letter = event.deadLetter else { return false }
    return selection.sentAgain.contains(letter.sequenceNumber)
  }

  private func isWanted(_ event: EventView, _ devices: [[UInt8]]) -> Bool {
    event.withDeviceID { name in
      devices.contains { wanted in
        // SAFETY: bytes have no padding.
        unsafe wanted.count == name.byteCount && wanted.span.bytes.isIdentical(to: name)
      }
    }
  }

  private func append(
    _ event: EventView, _ partition: Int, _ time: Timestamp, to bytes: inout [UInt8]
  ) {
    switch format {
    case .json:
      let place = EventLine.Place(
        partition: partition, sequenceNumber: event.position.offset.value, enqueuedTime: time)
      event.withDeviceID { device in
        EventLine.append(
          place, deviceID: device, systemProperties: event.systemProperties,
          properties: event.properties, body: event.body, to: &bytes)
      }
    case .body:
      // SAFETY: the bytes are copied during the closure, for which the batch keeps them.
      unsafe event.body.withUnsafeBytes { body in unsafe bytes.append(contentsOf: body) }
      bytes.append(0x0a)
    case .feedback:
      guard let report = event.feedbackReport else { return noteUnreadable(event) }
      report.json.append(to: &bytes)
      bytes.append(0x0a)
    case .deadLetters:
      guard let letter = event.deadLetter else { return noteUnreadable(event) }
      letter.append(to: &bytes)
    }
  }

  private func noteUnreadable(_ event: EventView) {
    gapCount += 1
    StandardError.notice(
      "\(event.position.partition), record \(event.position.offset) cannot be read; run `millrace "
        + "fsck` on the store")
  }

  /// Says what is missing, and goes on behind it.
  func note(_ gap: Gap) {
    gapCount += 1
    positions[gap.partition] = gap.next
    StandardError.notice("\(gap)")
  }

  /// Writes everything.
  func flush() throws(OutputFailure) {
    try output.flush()
    flushedPositions = positions
  }
}

extension RawSpan {
  /// Whether both are the same bytes; they must be of one length.
  fileprivate func isIdentical(to other: RawSpan) -> Bool {
    for position in 0..<byteCount
    where unsafe unsafeLoad(fromByteOffset: position, as: UInt8.self)
      != other.unsafeLoad(fromByteOffset: position, as: UInt8.self)
    {
      return false
    }
    return true
  }
}

extension FeedbackReport {
  fileprivate var json: JSONValue {
    var members: [JSONValue.Member] = []
    if let originalMessageID {
      members.append(.init("originalMessageId", .string(originalMessageID)))
    }
    members.append(.init("deviceId", .string("\(device)")))
    if let deviceGenerationID {
      members.append(.init("deviceGenerationId", .string(deviceGenerationID)))
    }
    members.append(.init("enqueuedTimeUtc", .string(TimeText.string(enqueuedTime))))
    members.append(.init("statusCode", .string(statusCode.name)))
    members.append(.init("description", .string(description)))
    return .object(members)
  }
}

extension DeadLetter {
  fileprivate func append(to bytes: inout [UInt8]) {
    QueueLine.append(
      message, device: device, sequenceNumber: sequenceNumber, enqueuedTime: enqueuedTime,
      more: [
        .init("deliveryCount", .integer(deliveryCount)),
        .init("expiryTime", .string(TimeText.string(expiryTime))),
        .init("statusCode", .string(statusCode.name)),
        .init("reason", .string(reason)),
      ], to: &bytes)
  }
}
