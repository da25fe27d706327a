import AllocationCount
import BareLoop
import Foundation
import Millrace

extension Ratios {
  private var storePath: String { directory + "/store" }
  private var barePath: String { directory + "/bare" }
  /// What replays read; filled by the first of them.
  private var filledPath: String { directory + "/filled" }
  private var bareFilledPath: String { directory + "/bare-filled" }

  private func freshStore() async throws -> EventStore {
    try? FileManager.default.removeItem(atPath: storePath)
    sync()
    return try await EventStore.open(
      at: storePath,
      configuration: .init(partitionCount: partitionCount, compression: .lz4))
  }

  private func rate(_ count: Int, since start: ContinuousClock.Instant) -> Double {
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    return Double(count) / seconds
  }

  // MARK: The engine

  /// One producer, borrowed bytes; the clock runs until everything is with the operating system.
  func appendBorrowed(_ corpus: Corpus) async throws -> Double {
    let store = try await freshStore()
    let start = ContinuousClock.now
    try fill(store, corpus)
    let result = rate(corpus.count, since: start)
    try await store.close()
    return result
  }

  private func fill(_ store: EventStore, _ corpus: Corpus) throws {
    var appender = store.makeAppender()
    let devices = corpus.fleet.devices
    let properties = corpus.fleet.properties
    let span = corpus.bytes.span
    for index in 0..<corpus.count {
      let device = corpus.devices[index]
      try appender.append(
        from: devices[device], body: span.extracting(corpus.range(index)).bytes,
        properties: properties[device])
    }
    try appender.flush()
  }

  /// Events that were built before the clock starts.
  func appendOwned(_ corpus: Corpus) async throws -> Double {
    let store = try await freshStore()
    let events = (0..<corpus.count).map { index in
      Event(
        from: corpus.fleet.devices[corpus.devices[index]],
        body: Payload(corpus.bytes[corpus.range(index)]),
        properties: corpus.fleet.properties[corpus.devices[index]])
    }
    let start = ContinuousClock.now
    var appender = store.makeAppender()
    for event in events { try appender.append(event) }
    try appender.flush()
    let result = rate(corpus.count, since: start)
    try await store.close()
    return result
  }

  /// Groups of 1,000, each on the disk before the next begins.
  func appendDurable(_ corpus: Corpus) async throws -> Double {
    let store = try await freshStore()
    let start = ContinuousClock.now
    var appender = store.makeAppender()
    let devices = corpus.fleet.devices
    let properties = corpus.fleet.properties
    let span = corpus.bytes.span
    let count = min(corpus.count, 300_000)
    for index in 0..<count {
      let device = corpus.devices[index]
      try appender.append(
        from: devices[device], body: span.extracting(corpus.range(index)).bytes,
        properties: properties[device])
      if index % 1_000 == 999 { try appender.synchronize() }
    }
    try appender.synchronize()
    let result = rate(count, since: start)
    try await store.close()
    return result
  }

  /// Every byte of every event, from the first on.
  func replay(_ corpus: Corpus) async throws -> Double {
    if !FileManager.default.fileExists(atPath: filledPath) {
      let store = try await freshStore()
      try fill(store, corpus)
      try await store.close()
      try FileManager.default.moveItem(atPath: storePath, toPath: filledPath)
    }
    let again = try await EventStore.open(at: filledPath, access: .readOnly)
    let start = ContinuousClock.now
    var sum: UInt64 = 0
    var count = 0
    for partition in again.partitions {
      for try await batch in again.batches(in: partition, until: .highWatermark) {
        for event in batch {
          sum &+= event.body.withUnsafeBytes { byte_sum($0.baseAddress, $0.count) }
        }
        count += batch.count
      }
    }
    let result = rate(count, since: start)
    precondition(count == corpus.count, "\(count) events came back")
    precondition(sum == corpus.bytes.withUnsafeBytes { byte_sum($0.baseAddress, $0.count) })
    try await again.close()
    return result
  }

  /// Allocations on the appending thread once buffers have grown to their size.
  func steadyAllocations(_ corpus: Corpus) async throws -> String {
    let store = try await freshStore()
    for _ in 0..<2 { try fill(store, corpus) }
    let before = allocation_count()
    var appender = store.makeAppender()
    let made = allocation_count()
    let devices = corpus.fleet.devices
    let properties = corpus.fleet.properties
    let span = corpus.bytes.span
    let start = allocation_count()
    for index in 0..<corpus.count {
      let device = corpus.devices[index]
      try appender.append(
        from: devices[device], body: span.extracting(corpus.range(index)).bytes,
        properties: properties[device])
    }
    let during = allocation_count() - start
    try await store.close()
    return "allocations inside \(corpus.count) appends: \(during) "
      + "(making the appender: \(made - before))"
  }

  // MARK: The bare loop

  func bareAppend(_ corpus: Corpus) throws -> Double {
    sync()
    guard let loop = bare_loop_create(barePath) else { throw POSIXError(.EIO) }
    defer { bare_loop_close(loop) }
    let start = ContinuousClock.now
    for index in 0..<corpus.count { append(index, of: corpus, to: loop) }
    bare_loop_flush(loop, 0)
    return rate(corpus.count, since: start)
  }

  func bareDurable(_ corpus: Corpus) throws -> Double {
    sync()
    guard let loop = bare_loop_create(barePath) else { throw POSIXError(.EIO) }
    defer { bare_loop_close(loop) }
    let count = min(corpus.count, 300_000)
    let start = ContinuousClock.now
    for index in 0..<count {
      append(index, of: corpus, to: loop)
      if index % 1_000 == 999 { bare_loop_flush(loop, 1) }
    }
    bare_loop_flush(loop, 1)
    return rate(count, since: start)
  }

  func bareReplay(_ corpus: Corpus) throws -> Double {
    if !FileManager.default.fileExists(atPath: bareFilledPath) {
      guard let loop = bare_loop_create(bareFilledPath) else { throw POSIXError(.EIO) }
      for index in 0..<corpus.count { append(index, of: corpus, to: loop) }
      bare_loop_flush(loop, 1)
      bare_loop_close(loop)
    }
    let start = ContinuousClock.now
    var bytes: UInt64 = 0
    let sum = bare_loop_replay(bareFilledPath, &bytes)
    precondition(sum > 0, "the bare loop read nothing")
    return rate(corpus.count, since: start)
  }

  @inline(__always)
  private func append(_ index: Int, of corpus: Corpus, to loop: OpaquePointer) {
    let device = corpus.devices[index]
    let range = corpus.range(index)
    var head = (UInt32(range.count), corpus.times[index].microseconds)
    corpus.bytes.withUnsafeBufferPointer { bytes in
      guard let start = bytes.baseAddress else { return }
      corpus.ids[device].withUnsafeBufferPointer { id in
        corpus.flatProperties[device].withUnsafeBufferPointer { properties in
          bare_loop_append(
            loop, &head, 12, id.baseAddress, id.count, properties.baseAddress, properties.count,
            start + range.lowerBound, range.count)
        }
      }
    }
  }
}
