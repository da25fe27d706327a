import CommandSupport
import Millrace

/// Prints what a store has, and then what comes.
struct EventReading {
  /// A partition and the part of it that is read.
  struct Part: Sendable {
    let partition: PartitionID
    let start: Millrace.ReadPosition
    /// Only what lies below is read.
    let limit: Offset?
    /// The end of what was durable when the reading began.
    let known: Offset
  }

  let store: EventStore
  let parts: [Part]
  let printer: EventPrinter
  /// Whose events are read; empty for all.
  let devices: Set<DeviceID>
  /// Whose checkpoints follow what was printed; nil if nothing is committed.
  let group: ConsumerGroup?
  /// Whether the checkpoints may go back.
  let goesBack: Bool

  /// Where the partitions hand over what comes, once everything known is printed.
  private let mailbox: TailMailbox

  /// What a killed reader printed since its last commit comes again: a tenth of a second's worth.
  private static let commitInterval: Duration = .milliseconds(100)

  init(
    store: EventStore, parts: [Part], printer: EventPrinter, devices: Set<DeviceID>,
    group: ConsumerGroup?, goesBack: Bool
  ) {
    self.store = store
    self.parts = parts
    self.printer = printer
    self.devices = devices
    self.group = group
    self.goesBack = goesBack
    mailbox = TailMailbox(slotCount: parts.count)
  }

  /// From now on an interrupt from the keyboard, and that nobody reads what is printed, end the
  /// reading and no more than that.
  func stopWhenUnwanted() throws(CommandFailure) {
    let mailbox = mailbox
    try Interruption.watch { Task { await mailbox.stop() } }
    try OwnThread.detach {
      if StandardOutput.waitForClosing() { Task { await mailbox.stop() } }
    }
  }

  /// Prints what is there, merged.
  func readKnown() async throws {
    var iterators = parts.map { part in
      let end = min(part.limit ?? part.known, part.known)
      let batches =
        devices.isEmpty
        ? store.batches(in: part.partition, from: part.start, until: .offset(end))
        : store.batches(of: devices, in: part.partition, from: part.start, until: .offset(end))
      return batches.makeAsyncIterator()
    }
    var merger = EventMerger(slotCount: parts.count)
    for slot in parts.indices { try await refill(&merger, slot, &iterators[slot]) }
    var committed = ContinuousClock.now
    while !Interruption.isRequested,
      case .slotEnded(let slot) = try merger.print(with: printer)
    {
      try await refill(&merger, slot, &iterators[slot])
      if group != nil, ContinuousClock.now - committed >= Self.commitInterval {
        try await commit()
        committed = .now
      }
    }
    try printer.flush()
    try await commit()
  }

  private func refill(
    _ merger: inout EventMerger, _ slot: Int, _ iterator: inout EventBatches.Iterator
  ) async throws {
    while let batch = try await iterator.next() {
      if let gap = batch.gap { printer.note(gap) }
      guard let run = EventRun(batch, below: nil) else { continue }
      merger.add(run, slot: slot)
      return
    }
  }

  /// Prints what comes, until everything that was asked for has come or the user interrupts.
  func readOn() async throws {
    let mailbox = mailbox
    let starts = parts.map(\.tailStart)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      for (slot, part) in parts.enumerated() {
        let start = max(starts[slot], printer.positions[part.partition] ?? .zero)
        let batches = store.batches(in: part.partition, from: .offset(start))
        tasks.addTask {
          guard part.limit.map({ start < $0 }) ?? true else { return await mailbox.finish() }
          do {
            for try await batch in batches {
              guard await mailbox.deliver(batch, slot: slot) else { break }
            }
            await mailbox.finish()
          } catch {
            await mailbox.finish(error)
          }
        }
      }
      do {
        try await printDeliveries()
      } catch {
        await end(&tasks)
        throw error
      }
      await end(&tasks)
    }
  }

  private func end(_ tasks: inout ThrowingTaskGroup<Void, any Error>) async {
    await mailbox.close()
    tasks.cancelAll()
  }

  private func printDeliveries() async throws {
    while case let deliveries = try await mailbox.receive(), !deliveries.isEmpty {
      var settled: Set<Int> = []
      // Whatever happens, no task may be left waiting.
      defer {
        for delivery in deliveries where !settled.contains(delivery.slot) {
          delivery.settle(goesOn: false)
        }
      }
      var merger = EventMerger(slotCount: parts.count)
      for delivery in deliveries {
        if let gap = delivery.batch.gap { printer.note(gap) }
        guard let run = EventRun(delivery.batch, below: parts[delivery.slot].limit) else {
          continue
        }
        merger.add(run, slot: delivery.slot)
      }
      var pause = try merger.print(with: printer)
      while case .slotEnded = pause { pause = try merger.print(with: printer) }
      try printer.flush()
      try await commit()
      if case .enough = pause { return }
      for delivery in deliveries {
        let limit = parts[delivery.slot].limit
        let next = delivery.batch.offsets.upperBound
        delivery.settle(
          goesOn: (limit.map { next < $0 } ?? true) && !printer.isPastEnd(delivery.batch))
        settled.insert(delivery.slot)
      }
    }
  }

  /// Commits exactly what was flushed.
  func commit() async throws {
    guard let group else { return }
    for (partition, next) in printer.flushedPositions {
      guard group.checkpoint(in: partition)?.next != next else { continue }
      let checkpoint = Checkpoint(partition: partition, next: next)
      if goesBack {
        // What was asked for by --from may lie before the checkpoint.
        try await group.reset(to: checkpoint)
      } else {
        try await group.commit(checkpoint)
      }
    }
  }
}

extension EventReading.Part {
  /// Where to follow when nothing was there: never before what was known.
  fileprivate var tailStart: Offset {
    if case .offset(let offset) = start { max(offset, known) } else { known }
  }
}
