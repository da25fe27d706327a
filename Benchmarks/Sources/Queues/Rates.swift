import BareLoop
import Foundation
import Millrace

/// Rates beside a loop without an engine.
extension Queues {
  // MARK: Groups of 100

  func groups(_ mail: Mail) async throws -> [Figure] {
    let (groups, visits) = (mail.groups, mail.visits)
    var rates: [String: [Double]] = [:]
    for _ in 0..<runs {
      let bare = try bareGroups(mail, groups)
      rates["bare.enqueue", default: []].append(bare.enqueue)
      rates["bare.receive", default: []].append(bare.receive)
      for (name, isBlocking) in [("blocking", true), ("async", false)] {
        let store = try await openStore("groups")
        let start = ContinuousClock.now
        if isBlocking {
          try sendBlocking(groups, to: store)
        } else {
          for group in groups { _ = try await store.enqueue(group) }
        }
        let middle = ContinuousClock.now
        if isBlocking {
          try receiveBlocking(visits, from: store)
        } else {
          try await receive(visits, from: store)
        }
        let end = ContinuousClock.now
        let count = Double(groups.reduce(0) { $0 + $1.count })
        rates["\(name).enqueue", default: []].append(count / (middle - start).inSeconds)
        rates["\(name).receive", default: []].append(count / (end - middle).inSeconds)
        let left = try await store.queueTotals()
        precondition(left.pending == 0, "\(left.pending) messages are left")
        try await store.close()
      }
    }
    return ["blocking", "async"].flatMap { name in
      ["enqueue", "receive"].map { work in
        Figure(
          name: "groups.\(name).\(work)", values: rates["\(name).\(work)"] ?? [],
          unit: "messages/s", bare: rates["bare.\(work)"] ?? [], needed: "ratio 0.8")
      }
    }
  }

  private func sendBlocking(_ groups: [[(DeviceID, DeviceMessage)]], to store: EventStore) throws {
    let queues = try store.makeBlockingQueues()
    for group in groups {
      let outcome = try queues.enqueue(group)
      precondition(outcome.refusal == nil)
    }
  }

  private func receiveBlocking(_ visits: [[DeviceID]], from store: EventStore) throws {
    let queues = try store.makeBlockingQueues()
    var sum: UInt64 = 0
    for visit in visits {
      var tokens: [(device: DeviceID, token: LockToken)] = []
      for device in visit {
        let messages = try queues.receive(by: device, max: Mail.roundCount)
        for place in messages.indices {
          sum &+= Self.sum(messages[place].message.body)
          tokens.append((device, messages[place].lockToken))
        }
      }
      try queues.complete(tokens)
    }
    precondition(sum > 0)
  }

  private func receive(_ visits: [[DeviceID]], from store: EventStore) async throws {
    var sum: UInt64 = 0
    for visit in visits {
      var tokens: [(device: DeviceID, token: LockToken)] = []
      for device in visit {
        for message in try await store.deviceQueue(for: device).receive(max: Mail.roundCount) {
          sum &+= Self.sum(message.message.body)
          tokens.append((device, message.lockToken))
        }
      }
      try await store.complete(tokens)
    }
    precondition(sum > 0)
  }

  private static func sum(_ body: Payload) -> UInt64 {
    body.bytes.withUnsafeBytes { byte_sum($0.baseAddress, $0.count) }
  }

  /// The loop writes each message, and for each delivery a lock and a completion; it reads every
  /// frame of messages back, once.
  private func bareGroups(
    _ mail: Mail, _ groups: [[(DeviceID, DeviceMessage)]]
  ) throws -> (enqueue: Double, receive: Double) {
    sync()
    guard let loop = bare_loop_create(directory + "/bare") else { throw POSIXError(.EIO) }
    defer { bare_loop_close(loop) }
    bare_loop_reserve(loop, 64 << 20)
    let ids = Dictionary(
      uniqueKeysWithValues: mail.devices.map { ($0, Array($0.description.utf8)) })
    let flat = groups.map { group in group.map { (ids[$0.0] ?? [], $0.1.body) } }
    var positions: [UInt64] = []
    let start = ContinuousClock.now
    for (number, group) in flat.enumerated() {
      positions.append(bare_loop_end(loop))
      for (id, body) in group { Self.append(id, body, number, to: loop) }
      bare_loop_flush(loop, 1)
    }
    let middle = ContinuousClock.now
    var sum: UInt64 = 0
    var records = [UInt8](repeating: 0, count: 1 << 20)
    for (number, group) in flat.enumerated().reversed() {
      let size = bare_loop_read(loop, positions[number], &records, records.count)
      precondition(size > 0, "the loop's frame cannot be read")
      sum &+= records.withUnsafeBytes { byte_sum($0.baseAddress, Int(size)) }
      for (id, _) in group {
        Self.append(id, .empty, number, to: loop)
        Self.append(id, .empty, number, to: loop)
      }
      bare_loop_flush(loop, 1)
    }
    let end = ContinuousClock.now
    precondition(sum > 0)
    let count = Double(groups.reduce(0) { $0 + $1.count })
    return (count / (middle - start).inSeconds, count / (end - middle).inSeconds)
  }

  private static func append(
    _ id: [UInt8], _ body: Payload, _ number: Int, to loop: OpaquePointer
  ) {
    // Size, kind, number, time: what a record cannot do without.
    var head = (UInt64(number), UInt64(body.count), UInt64(number))
    id.withUnsafeBytes { id in
      body.bytes.withUnsafeBytes { body in
        bare_loop_append(
          loop, &head, 24, id.baseAddress, id.count, &head, 0, body.baseAddress ?? id.baseAddress,
          body.count)
      }
    }
  }

  // MARK: One at a time

  func singles(_ mail: Mail) async throws -> [Figure] {
    let count = min(2_000, mail.devices.count)
    var rates: [String: [Double]] = [:]
    for _ in 0..<runs {
      // As many bytes as the store's frame takes.
      let store = try await openStore("singles")
      let (enqueue, complete) = try single(mail, count, store)
      try await store.close()
      rates["enqueue", default: []].append(enqueue)
      rates["complete", default: []].append(complete)
      for (name, size) in [("enqueue", 700), ("complete", 200)] {
        let seconds = rawSync(size: size, count: count)
        rates["bare.\(name)", default: []].append(1 / seconds)
      }
    }
    return ["enqueue", "complete"].map { name in
      Figure(
        name: "singles.\(name)", values: rates[name] ?? [], unit: "operations/s",
        bare: rates["bare.\(name)"] ?? [], needed: "ratio 0.8")
    }
  }

  private func single(
    _ mail: Mail, _ count: Int, _ store: EventStore
  ) throws -> (enqueue: Double, complete: Double) {
    let queues = try store.makeBlockingQueues()
    try queues.enqueue(mail.messages[0], to: "warm")
    let start = ContinuousClock.now
    for number in 0..<count {
      try queues.enqueue(
        mail.messages[number % mail.messages.count], to: mail.devices[mail.order[number]])
    }
    let middle = ContinuousClock.now
    for number in 0..<count {
      let device = mail.devices[mail.order[number]]
      for message in try queues.receive(by: device, max: 1) {
        try queues.complete(message.lockToken, of: device)
      }
    }
    let end = ContinuousClock.now
    return (Double(count) / (middle - start).inSeconds, Double(count) / (end - middle).inSeconds)
  }

  /// Seconds that writing and syncing so many bytes takes.
  private func rawSync(size: Int, count: Int) -> Double {
    sync()
    let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 167) }
    return synced_write_seconds(directory + "/raw", bytes, size, count)
  }

  // MARK: Many clients

  func clients(_ mail: Mail) async throws -> [Figure] {
    let clientCount = 64
    let each = 2_000
    var rates: [Double] = []
    var percentiles: [Double] = []
    var syncs: [Double] = []
    for _ in 0..<runs {
      syncs.append(rawSync(size: 700, count: 1_000))
      let store = try await openStore("clients")
      let start = ContinuousClock.now
      let latencies = try await withThrowingTaskGroup(of: [Double].self) { tasks in
        for client in 0..<clientCount {
          tasks.addTask { try await Self.send(each, from: client, mail, to: store) }
        }
        return try await tasks.reduce(into: []) { $0 += $1 }
      }
      let taken = ContinuousClock.now - start
      rates.append(Double(clientCount * each) / taken.inSeconds)
      let sorted = latencies.sorted()
      percentiles.append(sorted[sorted.count * 99 / 100])
      try await store.close()
    }
    return [
      Figure(
        name: "clients.64.enqueue", values: rates, unit: "messages/s", needed: "100000"),
      Figure(
        name: "clients.64.p99", values: zip(percentiles, syncs).map { $0 / $1 },
        unit: "syncs' time", needed: "at most 10"),
    ]
  }

  /// Sends messages one after the other; returns how long each took to be durable, in seconds.
  private static func send(
    _ count: Int, from client: Int, _ mail: Mail, to store: EventStore
  ) async throws -> [Double] {
    var latencies: [Double] = []
    latencies.reserveCapacity(count)
    for number in 0..<count {
      let index = client * count + number
      let start = ContinuousClock.now
      try await store.deviceQueue(for: mail.devices[index % mail.devices.count])
        .enqueue(mail.messages[index % mail.messages.count])
      latencies.append((ContinuousClock.now - start).inSeconds)
    }
    return latencies
  }
}
