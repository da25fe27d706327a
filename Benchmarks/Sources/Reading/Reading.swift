import Foundation
import Millrace
import MillraceTesting

/// Measures what reading at scale costs: one device's history, a moment, many segments, single
/// events, a follower's wait and a reopening after a kill.
@main
struct Reading {
  var eventCount = 10_000_000
  var singleCount = 200_000
  var runs = 3
  /// What to measure; everything when empty.
  var only: [String] = []
  let directory = FileManager.default.temporaryDirectory
    .appendingPathComponent("millrace-reading-\(ProcessInfo.processInfo.processIdentifier)").path

  static func main() async throws {
    var reading = Self()
    var arguments = CommandLine.arguments.dropFirst()
    while let option = arguments.popFirst() {
      let value = arguments.popFirst() ?? ""
      switch option {
      case "--events": reading.eventCount = Int(value) ?? reading.eventCount
      case "--singles": reading.singleCount = Int(value) ?? reading.singleCount
      case "--runs": reading.runs = Int(value) ?? reading.runs
      case "--only": reading.only += value.split(separator: ",").map(String.init)
      case "--fill-and-die": try await Filling.fillAndDie(at: value)
      default:
        print("usage: reading [--events N] [--singles N] [--runs N] [--only NAME,…]")
        return
      }
    }
    try await reading.run()
  }

  private func run() async throws {
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let scenarios: [(String, () async throws -> Void)] = [
      ("history", history), ("segments", segments), ("singles", singles), ("wake", wake),
      ("reopen", reopen), ("groups", groups),
    ]
    for (name, measure) in scenarios where only.isEmpty || only.contains(name) {
      try await measure()
    }
  }

  /// One device's events beside a scan of everything; and the first event at a random time.
  private func history() async throws {
    let path = directory + "/history"
    let filling = Filling(deviceCount: 10_000)
    try await filling.fill(path, count: eventCount)
    let store = try await EventStore.open(at: path, access: .readOnly)
    let partition = store.partitions[0]
    let before = Process.anonymousSize
    var ratios: [Double] = []
    for run in 0..<runs {
      let scan = try await ContinuousClock().measure {
        var sum = 0
        for try await batch in store.batches(in: partition, until: .highWatermark) {
          for event in batch { sum &+= event.body.byteCount }
        }
        precondition(sum > 0)
      }
      var count = 0
      let device = filling.fleet.devices[(run * 3_571 + 17) % 10_000]
      let one = try await ContinuousClock().measure {
        for try await batch in store.batches(of: device) { count += batch.count }
      }
      ratios.append(scan / one)
      print("history: scan \(scan), device \(one) with \(count) events")
    }
    print("history: ratio \(ratios.median.short) (needed 15)")
    let size = Double(Process.anonymousSize - before) / 1_048_576
    print("history: added anonymous memory \(size.short) MiB (at most 64)")
    try await seek(store, partition, filling)
    try await store.close()
  }

  private func seek(
    _ store: EventStore, _ partition: PartitionID, _ filling: Filling
  ) async throws {
    var latencies: [Double] = []
    let span = filling.lastTime.microseconds - filling.firstTime.microseconds
    var random = SystemRandomNumberGenerator()
    for _ in 0..<2_000 {
      let time = Timestamp(
        microseconds: filling.firstTime.microseconds + .random(in: 0..<span, using: &random))
      let taken = try await ContinuousClock().measure {
        var iterator = store.batches(in: partition, from: .time(time), until: .never)
          .makeAsyncIterator()
        let batch = try await iterator.next()
        precondition(batch?.first.map { $0.enqueuedTime >= time } == true)
      }
      latencies.append(taken / .milliseconds(1))
    }
    let sorted = latencies.dropFirst(200).sorted()
    print(
      "seek: median \(sorted[sorted.count / 2].short) ms, "
        + "99th percentile \(sorted[sorted.count * 99 / 100].short) ms (at most 2)")
  }

  /// Memory of a store of a thousand sealed segments that was read whole.
  private func segments() async throws {
    let path = directory + "/segments"
    let before = Process.anonymousSize
    let store = try await EventStore.open(
      at: path, configuration: .init(partitionCount: 1, segmentSize: .kibibytes(64)))
    let filling = Filling(deviceCount: 10_000)
    while try Filling.segmentCount(path) <= 1_000 { try await filling.append(50_000, to: store) }
    try await Filling.waitForMaintenance(path)
    for try await batch in store.batches(in: 0, until: .highWatermark) { _ = batch.count }
    for number in 0..<100 {
      for try await batch in store.batches(of: filling.fleet.devices[number * 97]) {
        _ = batch.count
      }
    }
    let count = try Filling.segmentCount(path)
    let size = Double(Process.anonymousSize - before) / 1_048_576
    print("segments: \(count) segments, \(size.short) MiB of anonymous memory (at most 64)")
    try await store.close()
  }

  /// Single durable events beside the same events in large batches.
  private func singles() async throws {
    var rates: [String: Double] = [:]
    for (name, isSingle) in [("singles", true), ("batches", false)] {
      let path = directory + "/" + name
      let store = try await EventStore.open(
        at: path, configuration: .init(partitionCount: 1, segmentSize: .mebibytes(2)))
      let filling = Filling(deviceCount: 1_000)
      try await filling.append(singleCount, to: store, eachDurable: isSingle)
      try await Filling.waitForMaintenance(path)
      let end = try Filling.sealedEnd(path)
      var measured: [Double] = []
      for _ in 0..<max(5, runs) {
        var count = 0
        let taken = try await ContinuousClock().measure {
          for try await batch in store.batches(in: 0, until: .offset(end)) {
            for event in batch { count += event.body.byteCount > 0 ? 1 : 0 }
          }
        }
        precondition(count > singleCount / 2)
        measured.append(Double(count) / (taken / .seconds(1)))
      }
      rates[name] = measured.median
      try await store.close()
    }
    let (single, batch) = (rates["singles"] ?? 0, rates["batches"] ?? 1)
    print(
      "singles: \(Int(single / 1_000))k/s, batches \(Int(batch / 1_000))k/s, "
        + "ratio \((single / batch).short) (needed 0.8)")
  }

  /// From the return of a durable append to its arrival at a follower.
  private func wake() async throws {
    let path = directory + "/wake"
    let store = try await EventStore.open(at: path, configuration: .init(partitionCount: 1))
    let follower = try await EventStore.open(at: path, access: .readOnly)
    let arrivals = AsyncStream.makeStream(of: ContinuousClock.Instant.self)
    let following = Task {
      for try await batch in follower.batches(in: 0, from: .latest) {
        for _ in batch { arrivals.continuation.yield(.now) }
      }
    }
    var iterator = arrivals.stream.makeAsyncIterator()
    var latencies: [Double] = []
    for number in 0..<200 {
      try await Task.sleep(for: .milliseconds(.random(in: 0...150)))
      try await store.append(Event(from: "d", body: Payload("\(number)")), durability: .durable)
      let synced = ContinuousClock.now
      guard let arrived = await iterator.next() else { break }
      latencies.append((arrived - synced) / .milliseconds(1))
    }
    following.cancel()
    let sorted = latencies.sorted()
    print(
      "wake: median \(sorted[100].short) ms, 99th percentile \(sorted[197].short) ms, "
        + "worst \(sorted[199].short) ms (at most 50)")
    try await follower.close()
    try await store.close()
  }

  /// Appending beside a thousand groups that commit, and beside none; alternating.
  private func groups() async throws {
    var ratios: [Double] = []
    for run in 0..<max(5, runs) {
      var rates: [Double] = []
      for count in [0, 1_000] {
        let store = try await EventStore.open(
          at: directory + "/groups-\(run)-\(count)", configuration: .init(partitionCount: 1))
        try await Filling(deviceCount: 1_000).append(1_000, to: store)
        var groups: [ConsumerGroup] = []
        for number in 0..<count {
          groups.append(try await store.consumerGroup(GroupName("group-\(number)")))
        }
        let filling = Filling(deviceCount: 10_000)
        let commits = Task {
          // Each group once a second.
          var (index, next) = (0, Offset.zero)
          while !Task.isCancelled, !groups.isEmpty {
            let checkpoint = Checkpoint(partition: 0, next: next)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
              for group in groups[index..<index + 10] {
                tasks.addTask { try await group.commit(checkpoint) }
              }
              try await tasks.waitForAll()
            }
            index = (index + 10) % groups.count
            if index == 0 { next = try store.offsets(in: 0).upperBound }
            try await Task.sleep(for: .milliseconds(10))
          }
        }
        let taken = try await ContinuousClock().measure {
          try await filling.append(2_000_000, to: store)
        }
        commits.cancel()
        _ = await commits.result
        rates.append(2_000_000 / (taken / .seconds(1)))
        try await store.close()
      }
      ratios.append(rates[1] / rates[0])
    }
    print("groups: appending beside 1,000 of them runs at \(ratios.median.short) of the rate")
  }

  /// Opening a store whose writer was killed behind a million events.
  private func reopen() async throws {
    var times: [Double] = []
    for run in 0..<max(5, runs) {
      let path = directory + "/killed-\(run)"
      let child = Foundation.Process()
      child.executableURL = URL(fileURLWithPath: CommandLine.arguments[0])
      child.arguments = ["--fill-and-die", path]
      try child.run()
      child.waitUntilExit()
      precondition(child.terminationReason == .uncaughtSignal)
      let start = ContinuousClock.now
      let store = try await EventStore.open(at: path, access: .readWrite)
      times.append((ContinuousClock.now - start) / .milliseconds(1))
      let end = try store.offsets(in: 0).upperBound
      precondition(end.value > 900_000)
      try await store.close()
    }
    print(
      "reopen: median \(times.median.short) ms, worst \((times.max() ?? 0).short) ms (at most 100)")
  }
}

extension Double {
  var short: String { String(format: "%.2f", self) }
}

extension [Double] {
  var median: Double {
    let sorted = sorted()
    return isEmpty ? 0 : (sorted[(count - 1) / 2] + sorted[count / 2]) / 2
  }
}

enum Process {
  /// Bytes of memory that no file stands behind.
  static var anonymousSize: Int {
    let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix("RssAnon:") }
    return (line?.split(separator: " ").compactMap { Int($0) }.first ?? 0) << 10
  }
}
