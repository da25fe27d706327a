import Foundation
import Millrace

/// W1, and W5 that opens what it left.
extension PeerDriver {
  func append(
    _ file: borrowing RecordFile, groupSize: Int, syncsGroups: Bool, killAt: Int?
  ) async throws {
    let before = Usage.anonymous
    let store = try await open(.createIfAbsent)
    let (start, processor) = (Usage.clock, Usage.processor)
    let (peak, latencies) = try append(
      file, to: store, groupSize: groupSize, syncsGroups: syncsGroups, killAt: killAt)
    let (end, processorEnd) = (Usage.clock, Usage.processor)
    let peakAtEnd = max(peak, Usage.anonymous)
    try await store.close()
    let seconds = end - start
    let fields = [
      ("events", Double(file.records.count)), ("wall_s", seconds),
      ("ev_s", Double(file.records.count) / seconds),
      ("mb_s", Double(file.size) / seconds / 1e6), ("cpu_s", processorEnd - processor),
      ("close_s", Usage.clock - end), ("cpu_total_s", Usage.processor - processor),
      ("rss_mb", Usage.residentMax - Double(file.mappedSize) / 1_048_576),
      ("anon_mb", peakAtEnd - before),
    ]
    report(fields + (syncsGroups ? latencies.fields : []))
  }

  /// Appends everything and makes it durable; returns the largest amount of memory seen, and how
  /// long each synced group took.
  private func append(
    _ file: borrowing RecordFile, to store: EventStore, groupSize: Int, syncsGroups: Bool,
    killAt: Int?
  ) throws -> (peak: Double, latencies: Latencies) {
    var appender = store.makeAppender()
    var cutter = RecordCutter()
    let records = file.records
    var peak = 0.0
    var latencies = Latencies()
    var done = 0
    var groups = 0
    while done < records.count {
      let end = min(done + groupSize, records.count)
      let begin = syncsGroups ? Usage.clock : 0
      for index in done..<end { try cutter.append(records[index], to: &appender, form) }
      if syncsGroups {
        try appender.synchronize()
        latencies.add(since: begin)
      }
      done = end
      if let killAt, done >= killAt { try die(after: done, records[done - 1].time, &appender) }
      // As often as the harness looks at its own engines.
      if groups % 64 == 0, groupSize > 1 { peak = max(peak, Usage.anonymous) }
      groups += 1
    }
    if !syncsGroups { try appender.synchronize() }
    return (peak, latencies)
  }

  /// Says what was acknowledged, none of which the kill may take, and dies.
  private func die(after count: Int, _ time: Int64, _ appender: inout EventAppender) throws {
    try appender.flush()
    print("{\"acked\": \(count), \"last_ts\": \(time)}")
    fflush(nil)
    kill(getpid(), SIGKILL)
  }

  func recover(_ corpus: String, count: Int) async throws {
    let file = try RecordFile(corpus, limit: count)
    let start = Usage.clock
    let store = try await open(.readWrite)
    let partition = store.partitions[0]
    let end = try store.offsets(in: partition).upperBound
    var last: Timestamp?
    if end > .zero {
      let from = ReadPosition.offset(Offset(end.value - 1))
      for try await batch in store.batches(in: partition, from: from, until: .highWatermark) {
        last = batch.last?.enqueuedTime
      }
    }
    let opened = Usage.clock
    let time = (last?.microseconds ?? 0) + 1
    try append(file.records[0], at: Timestamp(microseconds: time), to: store)
    let appended = Usage.clock
    let recovered = file.records.count { $0.time <= time - 1 }
    report([
      ("open_ms", (opened - start) * 1e3), ("open_append_ms", (appended - start) * 1e3),
      ("recovered", Double(recovered)),
    ])
    try await store.close()
  }

  private func append(
    _ record: RecordFile.Record, at time: Timestamp, to store: EventStore
  ) throws {
    var appender = store.makeAppender()
    var cutter = RecordCutter()
    let later = RecordFile.Record(time: time.microseconds, bytes: record.bytes)
    try cutter.append(later, to: &appender, form)
    try appender.synchronize()
  }
}
