internal import EventModel
internal import LogFormat

extension EventStore {
  /// The dead letter of a message; nil where there is none, or where it cannot be read.
  ///
  /// Reads the stream of dead letters from where the message can be at the earliest: it was settled
  /// after it was enqueued, and the stream is in the order of the settlements' numbers.
  ///
  /// - Parameter number: the message's sequence number while it was in its queue.
  /// - Returns: the dead letter, also one that was sent again.
  /// - Throws: ``EventStoreError``.
  package func deadLetter(withSequenceNumber number: UInt64) async throws(EventStoreError)
    -> DeadLetter?
  {
    let start = try await firstOutcome(in: .deadLetters, behind: number)
    for try await batch in batches(
      in: .deadLetters, from: .offset(start), until: .highWatermark)
    {
      for event in batch {
        if let letter = event.deadLetter, letter.sequenceNumber == number { return letter }
      }
    }
    return nil
  }

  /// Where the first record stands that is a copy of one behind a number of the journal.
  private func firstOutcome(
    in stream: PartitionID, behind number: UInt64
  ) async throws(EventStoreError) -> Offset {
    let offsets = try offsets(in: stream)
    var (low, high) = (offsets.lowerBound.value, offsets.upperBound.value)
    while low < high {
      let middle = low + (high - low) / 2
      // Behind damage the next one that can be read tells as much.
      guard let found = try await outcome(in: stream, from: middle, below: high) else {
        high = middle
        continue
      }
      if found.number <= number { low = found.offset + 1 } else { high = middle }
    }
    return Offset(low)
  }

  /// The first outcome from a place on that can be read, by its number in the journal.
  private func outcome(
    in stream: PartitionID, from start: UInt64, below end: UInt64
  ) async throws(EventStoreError) -> (offset: UInt64, number: UInt64)? {
    for try await batch in batches(
      in: stream, from: .offset(Offset(start)), until: .offset(Offset(end)))
    {
      for event in batch {
        do throws(FormatError) {
          return (event.position.offset.value, try OutcomeRecord(event).number)
        } catch {
          continue
        }
      }
    }
    return nil
  }
}
