import Foundation
import Millrace
import Testing

/// What the README's example is surrounded by.
private struct Meter {
  func bill(_ event: EventView) async throws {}
}

private struct Session {
  enum Answer {
    case accepted, busy
    case malformed(String)
  }

  func send(_ message: LockedMessage) async -> Answer { .accepted }
}

private struct Reading {
  let device: DeviceID
  let bytes: [UInt8]
}

/// The README opens with the lines between the marks; compiling this file proves them.
private func readmeExample(
  reading: [UInt8], readings: [Event], samples: [Event], fleet: [Reading],
  plantSeven: Properties, meter: Meter, session: Session
) async throws {
  // README begins
  let store = try await EventStore.open(
    at: "/var/lib/telemetry",
    configuration: .init(
      partitionCount: 8,
      segmentSize: .mebibytes(128),
      compression: .lz4,
      retention: .init(age: .seconds(7 * 86_400), size: .gibibytes(200))
    )
  )

  // Device → cloud. Returns when the event is durable.
  let position = try await store.append(
    Event(
      from: "thermostat-17",
      body: Payload(reading),
      contentType: "application/cbor",
      properties: ["site": "plant-7"]
    )
  )
  print("durable at", position)  // p3@18204

  // Many at once: one wait for one sync a partition. Less patience where it is enough:
  let positions = try await store.append(contentsOf: readings)
  try await store.append(contentsOf: samples, durability: .written)

  // Nanoseconds count: no suspension, no allocation, borrowed bytes; wait when you need to know.
  var appender = store.makeAppender()
  for reading in fleet {
    try appender.append(from: reading.device, body: reading.bytes, properties: plantSeven)
  }
  try await appender.durable()

  // Consume. Each partition resumes where the group stopped.
  let billing = try await store.consumerGroup("billing")

  try await withThrowingTaskGroup { group in
    for partition in store.partitions {
      group.addTask {
        let batches = billing.batches(in: partition, from: .checkpoint(orElse: .earliest))
        for try await batch in batches {
          for event in batch {
            try await meter.bill(event)
          }
          try await billing.commit(batch.checkpoint)
        }
      }
    }
    try await group.waitForAll()
  }

  // Cloud → device. Returns when the message would survive a crash.
  let queue = store.deviceQueue(for: "thermostat-17")

  try await queue.enqueue(
    DeviceMessage(
      id: "set-point-42",
      body: Payload(reading),
      timeToLive: .seconds(3_600),
      feedback: .full
    )
  )

  // A delivery is noncopyable and settling consumes it: twice does not compile.
  while let delivery = try await queue.receive(lockFor: .seconds(60)) {
    switch await session.send(delivery.message) {
    case .accepted: try await delivery.complete()
    case .busy: try await delivery.abandon(delay: .seconds(5))
    case .malformed(let reason): try await delivery.reject(reason: reason)
    }
  }

  for try await batch in store.batches(in: .feedback) {
    for report in batch.compactMap(\.feedbackReport) {
      print(report.originalMessageID ?? "-", report.statusCode)  // set-point-42 success
    }
  }

  try await store.close()
  // README ends
  _ = positions
}

@Suite("The README")
struct ReadmeTests {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  @Test("The first example is the code that this file compiles")
  func example() throws {
    let readme = try String(
      contentsOf: Self.root.appendingPathComponent("README.md"), encoding: .utf8)
    let source = try String(contentsOfFile: #filePath, encoding: .utf8)
    let lines = source.components(separatedBy: "\n")
    let begin = try #require(lines.firstIndex(of: "  // README begins"))
    let end = try #require(lines.firstIndex(of: "  // README ends"))
    let code = lines[(begin + 1)..<end].map { $0.hasPrefix("  ") ? String($0.dropFirst(2)) : $0 }
    let expected = "```swift\nimport Millrace\n\n" + code.joined(separator: "\n") + "\n```"
    #expect(readme.contains(expected), "copy the lines between the marks into README.md")
    #expect(readme.range(of: "```swift")?.lowerBound == readme.range(of: expected)?.lowerBound)
  }
}
