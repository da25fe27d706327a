import Foundation
import Millrace

/// What a million devices, and a million messages that are gone, leave.
extension Queues {
  private static let million = 1_000_000

  // MARK: Reopening

  /// Fills a store with a message for each of a million devices, and has others reopen it.
  func million(_ mail: Mail) async throws -> [Figure] {
    let store = try await openStore("million")
    let start = ContinuousClock.now
    try fill(store, mail)
    let filled = (ContinuousClock.now - start).inSeconds
    try await store.close()
    var times: [Double] = []
    var sizes: [Double] = []
    for _ in 0..<min(3, runs) {
      let child = Process()
      let output = Pipe()
      child.executableURL = URL(fileURLWithPath: CommandLine.arguments[0])
      child.arguments = ["--reopen", directory + "/million"]
      child.standardOutput = output
      try child.run()
      let text = try output.fileHandleForReading.readToEnd() ?? Data()
      child.waitUntilExit()
      let words = String(decoding: text, as: UTF8.self).split(whereSeparator: \.isWhitespace)
      guard words.count == 2, let time = Double(words[0]), let size = Double(words[1]) else {
        throw POSIXError(.EIO)
      }
      times.append(time)
      sizes.append(size)
    }
    try FileManager.default.removeItem(atPath: directory + "/million")
    return [
      Figure(
        name: "million.fill", values: [Double(Self.million) / filled], unit: "messages/s",
        needed: "no bar"),
      Figure(name: "million.reopen", values: times, unit: "s", needed: "at most 2"),
      Figure(name: "million.memory", values: sizes, unit: "bytes a device", needed: "at most 128"),
    ]
  }

  private func fill(_ store: EventStore, _ mail: Mail) throws {
    let queues = try store.makeBlockingQueues()
    let devices = Mail.devices(Self.million)
    for start in stride(from: 0, to: Self.million, by: 1_000) {
      let outcome = try queues.enqueue(
        (start..<start + 1_000).map { (devices[$0], mail.messages[$0 % mail.messages.count]) })
      precondition(outcome.refusal == nil)
    }
  }

  /// Opens a store, receives the message of one device in its middle, and prints the seconds that
  /// took and the memory that each device takes.
  static func reopen(_ path: String) async throws {
    let device = DeviceID(stringLiteral: "sensor-500000")
    let before = anonymousSize
    let start = ContinuousClock.now
    let store = try await EventStore.open(at: path, access: .readWrite)
    let received = try await store.deviceQueue(for: device).receive(max: 1)
    let taken = (ContinuousClock.now - start).inSeconds
    precondition(received.count == 1)
    print(taken, Double(anonymousSize - before) / Double(million))
    try await store.close()
  }

  /// Bytes of memory that no file stands behind.
  private static var anonymousSize: Int {
    let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix("RssAnon:") }
    return (line?.split(separator: " ").compactMap { Int($0) }.first ?? 0) << 10
  }

  // MARK: Space

  /// What is on the disk after a million messages came and went.
  func space(_ mail: Mail) async throws -> [Figure] {
    let store = try await openStore("space")
    try comeAndGo(store, mail)
    try await store.close()
    let again = try await EventStore.open(at: directory + "/space", access: .readWrite)
    try await again.close()
    let size = try allocatedSize(directory + "/space")
    return [
      Figure(
        name: "space.after", values: [Double(size) / 1_048_576], unit: "MiB",
        needed: "below 64")
    ]
  }

  private func comeAndGo(_ store: EventStore, _ mail: Mail) throws {
    let queues = try store.makeBlockingQueues()
    let devices = mail.devices
    for start in stride(from: 0, to: Self.million, by: 1_000) {
      let outcome = try queues.enqueue(
        (start..<start + 1_000).map {
          (devices[$0 % devices.count], mail.messages[$0 % mail.messages.count])
        })
      precondition(outcome.refusal == nil)
      var tokens: [(device: DeviceID, token: LockToken)] = []
      for number in start..<start + 1_000 {
        let device = devices[number % devices.count]
        for message in try queues.receive(by: device, max: 1) {
          tokens.append((device, message.lockToken))
        }
      }
      try queues.complete(tokens)
    }
  }

  // MARK: Filing

  /// How long it takes to file the messages of devices that went offline, and how long others wait
  /// for their messages to be durable meanwhile.
  func filing(_ mail: Mail) async throws -> [Figure] {
    var times: [Double] = []
    var waits: [Double] = []
    for _ in 0..<min(3, runs) {
      let store = try await openStore("filing")
      let queues = try store.makeBlockingQueues()
      for start in stride(from: 0, to: mail.devices.count, by: 1_000) {
        let devices = mail.devices[start..<min(start + 1_000, mail.devices.count)]
        _ = try queues.enqueue(devices.map { ($0, mail.messages[0]) })
      }
      let watch = FilingWatch(directory + "/filing/queues")
      var latencies: [Double] = []
      while watch.seconds == nil {
        let isFiling = watch.isFiling
        let begin = ContinuousClock.now
        _ = try queues.enqueue((0..<50).map { _ in ("online", mail.messages[0]) })
        if isFiling { latencies.append((ContinuousClock.now - begin).inSeconds * 1_000) }
        let received = try queues.receive(by: "online", max: 50)
        try queues.complete(received.map { ("online", $0.lockToken) })
      }
      times.append(watch.seconds ?? 0)
      latencies.sort()
      waits.append(latencies.isEmpty ? 0 : latencies[latencies.count * 99 / 100])
      try await store.close()
    }
    return [
      Figure(name: "filing.time", values: times, unit: "s", needed: "at most 1 for 10,000"),
      Figure(name: "filing.wait99", values: waits, unit: "ms", needed: "below 20"),
    ]
  }

  private func allocatedSize(_ path: String) throws -> Int {
    let names = try FileManager.default.subpathsOfDirectory(atPath: path)
    return try names.reduce(0) { sum, name in
      var status = stat()
      guard lstat(path + "/" + name, &status) == 0 else { throw POSIXError(.EIO) }
      return sum + Int(status.st_blocks) * 512
    }
  }
}

/// Sees from outside when a checkpoint of the queues begins and when it has made its directory.
private final class FilingWatch: @unchecked Sendable {
  private let lock = NSLock()
  private var begin: ContinuousClock.Instant?
  private var end: ContinuousClock.Instant?

  var isFiling: Bool { lock.withLock { begin != nil && end == nil } }
  var seconds: Double? {
    lock.withLock { end.flatMap { end in begin.map { (end - $0).inSeconds } } }
  }

  init(_ folder: String) {
    Thread.detachNewThread { [self] in
      while seconds == nil {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        lock.withLock {
          if begin == nil, names.contains(where: { $0.utf8.count == 2 }) { begin = .now }
          if names.contains(where: { $0.hasSuffix(".directory") }) { end = .now }
        }
        usleep(500)
      }
    }
  }
}
