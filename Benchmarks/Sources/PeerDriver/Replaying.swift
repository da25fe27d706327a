import BareLoop
import Foundation
import Millrace

/// W2 and W3.
extension PeerDriver {
  func replay(_ corpus: String, count: Int) async throws {
    let expected = try Expectation(corpus, limit: count)
    let store = try await open(.readWrite)
    let reader = RecordReader(store)
    // The first pass warms the page cache.
    check(try await reader.read(from: .earliest) == expected.total, "the first replay")
    let (start, processor) = (Usage.clock, Usage.processor)
    let total = try await reader.read(from: .earliest)
    let (seconds, used) = (Usage.clock - start, Usage.processor - processor)
    check(total == expected.total, "\(total), not \(expected.total)")
    report([
      ("events", Double(total.count)), ("wall_s", seconds),
      ("ev_s", Double(total.count) / seconds), ("mb_s", Double(expected.size) / seconds / 1e6),
      ("cpu_s", used), ("anon_mb", Usage.anonymous),
    ])
    try await store.close()
  }

  func seek(_ corpus: String, count: Int, operations: Int = 20_000) async throws {
    let times = try RecordFile(corpus, limit: count).records.map(\.time)
    let store = try await open(.readWrite)
    let reader = RecordReader(store)
    _ = try await reader.read(from: .earliest)
    var random = SplitMix(state: 7)
    // Half the times are an event's own, half lie between two events.
    func draw(_ turn: Int) -> ReadPosition {
      let time = times[Int(random.next() % UInt64(times.count - 100))]
      return .time(Timestamp(microseconds: time - Int64(turn & 1)))
    }
    for _ in 0..<500 { _ = try await reader.read(from: draw(1), max: 100) }
    var latencies = Latencies()
    let start = Usage.clock
    for turn in 0..<operations {
      let position = draw(turn)
      let begin = Usage.clock
      let total = try await reader.read(from: position, max: 100)
      latencies.add(since: begin)
      check(total.count == 100, "\(total.count) records behind \(position)")
    }
    let rate = Double(operations) / (Usage.clock - start)
    report([("ops", Double(operations)), ("ops_s", rate)] + latencies.fields)
    try await store.close()
  }
}

/// A number of records and the sum of their bytes.
struct Total: Hashable {
  var count = 0
  var sum: UInt64 = 0
}

/// What a replay of a corpus has to come to.
private struct Expectation {
  var total = Total()
  let size: Int

  init(_ corpus: String, limit: Int) throws {
    let file = try RecordFile(corpus, limit: limit)
    for record in file.records {
      total.sum &+= byte_sum(record.bytes.baseAddress, record.bytes.count)
    }
    total.count = file.records.count
    size = file.size
  }
}

/// Reads events and adds up every byte of the records they were cut from.
struct RecordReader {
  let store: EventStore

  init(_ store: EventStore) { self.store = store }

  func read(from position: ReadPosition, max: Int = .max) async throws -> Total {
    var total = Total()
    let batches = store.batches(in: store.partitions[0], from: position, until: .count(max))
    for try await batch in batches {
      check(batch.gap == nil, "a gap at \(batch.checkpoint)")
      add(batch, to: &total)
    }
    return total
  }

  private func add(_ events: EventBatch, to total: inout Total) {
    for event in events {
      total.sum &+= event.withDeviceID { sum($0) &+ UInt64($0.byteCount) }
      total.sum &+= sumOfProperties(event)
      total.sum &+= sum(event.body)
    }
    total.count += events.count
  }

  @inline(__always)
  private func sum(_ bytes: RawSpan) -> UInt64 {
    bytes.withUnsafeBytes { byte_sum($0.baseAddress, $0.count) }
  }

  /// What the record had of them: their size in two bytes, and each text behind a byte of its own
  /// size.
  @inline(__always)
  private func sumOfProperties(_ event: EventView) -> UInt64 {
    var size = 0
    var result: UInt64 = 0
    event.forEachProperty { (name, value) in
      size += 2 + name.byteCount + value.byteCount
      result &+= UInt64(name.byteCount) &+ UInt64(value.byteCount) &+ sum(name) &+ sum(value)
    }
    return result &+ UInt64(size & 0xff) &+ UInt64(size >> 8)
  }
}
