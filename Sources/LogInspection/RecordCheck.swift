internal import EventModel
internal import LogFormat

/// Judges the records of one log or file about device queues: whether each is what its file is made
/// of (format-spec §14).
///
/// The checksums of all of them hold. What is none of these the engine passes over, whatever the
/// writer meant by it. Asked for the batches in their order.
final class RecordCheck {
  /// The journal's number that an outcome carried last.
  private var lastOutcome: UInt64?
  /// Those of one record, here so that their memory is used again.
  private var entries: [JournalEntry] = []

  /// Records that follow each other and cannot be read.
  private struct Unreadable {
    private(set) var numbers: Range<UInt64>
    private(set) var devices: Set<String>
    let from: Timestamp
    private(set) var to: Timestamp
    /// What is wrong with the first.
    let error: FormatError

    init(_ record: InspectedRecord, _ error: FormatError) {
      numbers = record.sequenceNumber..<record.sequenceNumber + 1
      devices = [record.deviceID]
      from = record.enqueuedTime
      to = from
      self.error = error
    }

    func isFollowed(by number: UInt64, _ error: FormatError) -> Bool {
      numbers.upperBound == number && self.error.isCorrupt == error.isCorrupt
    }

    mutating func add(_ record: InspectedRecord) {
      numbers = numbers.lowerBound..<numbers.upperBound + 1
      devices.insert(record.deviceID)
      to = record.enqueuedTime
    }
  }

  /// What is wrong with a batch's records.
  ///
  /// - Parameters:
  ///   - batch: the batch, every checksum of which holds.
  ///   - position: of its frame.
  ///   - file: the name of the file.
  ///   - header: the file's header.
  /// - Returns: a finding for each row of records that cannot be read, and for each that is not in
  ///   its place.
  func damages(
    in batch: DecodedBatch, at position: Int, file: String, _ header: FileHeader
  ) -> [Damage] {
    guard header.stream != .events else { return [] }
    var damages: [Damage] = []
    var unreadable: [Unreadable] = []
    for index in 0..<batch.count {
      let number = batch.baseOffset &+ UInt64(index)
      do throws(FormatError) {
        let before = lastOutcome
        guard let outcome = try read(batch.body(at: index), header) else { continue }
        if let before, outcome <= before {
          damages.append(
            Damage(
              .badRecord, file: file, position: position,
              detail: "record \(number) is a copy of record \(outcome) of the journal, and stands "
                + "behind one of record \(before)"))
        }
        lastOutcome = max(outcome, before ?? 0)
      } catch {
        let record = InspectedRecord(
          file: file, kind: header.kind, stream: header.stream, partition: header.partition,
          batch: batch, index: index)
        if unreadable.last?.isFollowed(by: number, error) == true {
          unreadable[unreadable.count - 1].add(record)
        } else {
          unreadable.append(Unreadable(record, error))
        }
      }
    }
    return damages + unreadable.map { damage($0, position, file, header) }
  }

  /// Reads a record as its file's; returns the number that an outcome carries.
  private func read(_ body: RawSpan, _ header: FileHeader) throws(FormatError) -> UInt64? {
    switch (header.kind, header.stream) {
    case (.queueDirectory, _):
      _ = try FiledQueue(decoding: body)
      return nil
    case (.queue, _):
      var reader = ByteReader(body)
      _ = try FiledMessage(decoding: &reader)
      return nil
    case (_, .journal):
      _ = try JournalEntry.decodeAll(body, into: &entries)
      return nil
    case (_, .feedback), (_, .deadLetter):
      return try OutcomeEntry(decoding: body, in: header.stream).number
    case (_, .events):
      return nil
    }
  }

  private func damage(
    _ unreadable: Unreadable, _ position: Int, _ file: String, _ header: FileHeader
  ) -> Damage {
    let numbers = unreadable.numbers
    let records =
      numbers.count == 1
      ? "record \(numbers.lowerBound)" : "records \(numbers.lowerBound) up to \(numbers.upperBound)"
    guard unreadable.error.isCorrupt else {
      return Damage(
        .unsupported, file: file, position: position, detail: "\(records): \(unreadable.error)")
    }
    var damage = Damage(
      .badRecord, file: file, position: position,
      detail: "\(records), whose checksums hold, cannot be read: \(unreadable.error)")
    // Which message of a queue file is gone its own check tells.
    guard header.isSegment else { return damage }
    damage.acknowledgedLoss = AcknowledgedLoss(
      partition: ManifestEdit.LogID(header).numberOfLoss, firstSequence: numbers.lowerBound,
      nextSequence: numbers.upperBound, devices: unreadable.devices.sorted(),
      from: unreadable.from, to: unreadable.to)
    return damage
  }
}

extension FormatError {
  /// Whether the bytes are damaged, not those of a later program.
  var isCorrupt: Bool {
    if case .corrupt = self { true } else { false }
  }
}
