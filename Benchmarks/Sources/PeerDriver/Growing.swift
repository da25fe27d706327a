import Foundation
import Millrace

/// What changes with producers, readers, partitions and the size of the store.
extension PeerDriver {
  /// Threads each of which waits for every one of its events.
  func produce(_ file: borrowing RecordFile, threadCount: Int) async throws {
    let store = try await open(.createIfAbsent)
    let records = file.records
    let start = Usage.clock
    let latencies = try await inParallel(threadCount) { thread in
      var appender = store.makeAppender()
      var cutter = RecordCutter()
      var latencies = Latencies()
      for index in stride(from: thread, to: records.count, by: threadCount) {
        let begin = Usage.clock
        try cutter.append(records[index], to: &appender, form)
        try appender.synchronize()
        latencies.add(since: begin)
      }
      return latencies
    }
    let rate = Double(records.count) / (Usage.clock - start)
    report([("ev_s", rate)] + latencies.reduce(into: Latencies()) { $0 += $1 }.fields)
    try await store.close()
  }

  /// One thread that goes on while groups before are on their way to the disk.
  func appendAhead(_ file: borrowing RecordFile, depth: Int) async throws {
    let store = try await open(.createIfAbsent)
    let records = file.records
    let groupSize = 1_000
    let start = Usage.clock
    var appender = store.makeAppender()
    var cutter = RecordCutter()
    var waits: [Task<Void, any Error>] = []
    for done in stride(from: 0, to: records.count, by: groupSize) {
      if waits.count == depth { try await waits.removeFirst().value }
      let end = min(done + groupSize, records.count)
      for index in done..<end { try cutter.append(records[index], to: &appender, form) }
      let last = LogPosition(partition: store.partitions[0], offset: Offset(UInt64(end - 1)))
      waits.append(Task { try await store.durable(upTo: last) })
    }
    for wait in waits { try await wait.value }
    report([("ev_s", Double(records.count) / (Usage.clock - start))])
    try await store.close()
  }

  func grow(
    _ file: borrowing RecordFile, partitionCount: Int, threadCount: Int
  ) async throws {
    var driver = self
    driver.configuration.partitionCount = partitionCount
    let store = try await driver.open(.createIfAbsent)
    let records = file.records
    let start = Usage.clock
    try await inParallel(threadCount) { thread in
      var appender = store.makeAppender()
      var cutter = RecordCutter()
      for index in stride(from: thread, to: records.count, by: threadCount) {
        try cutter.append(records[index], to: &appender, form)
      }
      try appender.synchronize()
    }
    let appended = Usage.clock - start
    try await store.close()

    let opening = Usage.clock
    let filled = try await driver.open(.readWrite)
    let opened = Usage.clock - opening
    // Once to warm the page cache, then with readers that each read everything.
    _ = try await Self.readEverything(filled)
    let reading = Usage.clock
    try await withThrowingTaskGroup(of: Int.self) { readers in
      for _ in 0..<threadCount { readers.addTask { try await Self.readEverything(filled) } }
      for try await count in readers { check(count == records.count, "\(count) events") }
    }
    let read = Usage.clock - reading
    let seeks = try await driver.seekTimes(records, in: filled)
    try await filled.close()
    report(
      [
        ("append_ev_s", Double(records.count) / appended), ("open_ms", opened * 1e3),
        ("replay_ev_s", Double(records.count * threadCount) / read), ("seek_ops_s", seeks.rate),
      ] + seeks.fields)
  }

  private static func readEverything(_ store: EventStore) async throws -> Int {
    var count = 0
    var size = 0
    for partition in store.partitions {
      for try await batch in store.batches(in: partition, until: .highWatermark) {
        for event in batch { size += event.bodySize }
        count += batch.count
      }
    }
    check(size > 0, "nothing was read")
    return count
  }

  private func seekTimes(
    _ records: [RecordFile.Record], in store: EventStore
  ) async throws -> Latencies {
    var random = SplitMix(state: 7)
    var latencies = Latencies()
    for _ in 0..<500 {
      let record = records[Int(random.next() % UInt64(records.count))]
      let begin = Usage.clock
      let batches = store.batches(
        in: store.partitions[0], from: .time(Timestamp(microseconds: record.time)),
        until: .highWatermark)
      for try await _ in batches { break }
      latencies.add(since: begin)
    }
    return latencies
  }
}

/// Runs work on threads that may block and returns what each came to.
@discardableResult
private func inParallel<Result: Sendable>(
  _ count: Int, _ work: @escaping @Sendable (Int) throws -> Result
) async throws -> [Result] {
  try await withThrowingTaskGroup(of: Result.self) { group in
    for number in 0..<count {
      group.addTask {
        try await withCheckedThrowingContinuation { continuation in
          Thread.detachNewThread {
            continuation.resume(with: Swift.Result { try work(number) })
          }
        }
      }
    }
    return try await group.reduce(into: []) { $0.append($1) }
  }
}
