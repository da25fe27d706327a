import EventModel
import Millrace
import MillraceTesting
import StorageIO
import Testing

@Suite("Enqueue times and limits")
struct EventTimeTests {
  private static let noon = Timestamp(microseconds: 1_750_000_000_000_000)

  private func times(_ store: EventStore) async throws -> [Int64] {
    let all = try await store.everything()
    return all.values.joined().map { ($0.enqueuedTime?.microseconds ?? 0) }
  }

  @Test("Times never step back within a partition, whatever the clock and imports say")
  func monotonic() async throws {
    let clock = ManualClock(at: Self.noon)
    let storage = InMemoryStorage()
    let store = try await storage.open(clock: clock)
    func append(_ microseconds: Int64? = nil) async throws {
      let own = microseconds.map {
        Timestamp(microseconds: Self.noon.microseconds + $0)
      }
      try await store.append(Event(from: "d", body: "x", enqueuedTime: own))
    }
    try await append()
    clock.advance(by: .seconds(-3_600))
    try await append()
    try await append(-5)
    try await append(10)
    try await append(3)
    clock.advance(by: .seconds(3_600) + .microseconds(40))
    try await append()
    #expect(
      try await times(store).map { $0 - Self.noon.microseconds } == [0, 0, 0, 10, 10, 40])
    try await store.close()
    // Also across an opening with a clock that was set back.
    clock.advance(by: .seconds(-60))
    let again = try await storage.open(access: .readWrite, clock: clock)
    try await again.append(0..<1)
    #expect(try await times(again).last == Self.noon.microseconds + 40)
    try await again.close()
  }

  @Test("Times at the ends of the calendar are taken as they are")
  func extremes() async throws {
    let disk = MemoryFileSystem()
    let store = try await disk.openStore(clock: ManualClock(at: Self.noon))
    for time in [Int64.min, Int64.min + 1, -1, 0] {
      try await store.append(
        Event(from: "d", body: "x", enqueuedTime: Timestamp(microseconds: time)),
        durability: .buffered)
    }
    try await store.append(0..<1)
    let expected = [Int64.min, Int64.min + 1, -1, 0, Self.noon.microseconds]
    #expect(try await times(store) == expected)
    for (number, time) in expected.enumerated() {
      let found = try await store.texts(from: .time(Timestamp(microseconds: time)))
      #expect(found.count == expected.count - number)
    }
    // The time between the first and the last is more than a number holds.
    let lag = try await store.consumerGroup(.standard).lag(in: 0)
    #expect(lag.events == 5 && lag.time == .microseconds(Int64.max))
    try await store.close()
    let again = try await disk.openStore(access: .readWrite)
    #expect(try await times(again) == expected)
    try await again.close()
  }

  @Test(
    "A time more than a day ahead is refused, and takes nothing in",
    arguments: [
      (86_400, true), (86_401, false), (1 << 40, false),
    ])
  func ahead(seconds: Int, isAccepted: Bool) async throws {
    let store = try await MemoryFileSystem().openStore(clock: ManualClock(at: Self.noon))
    let event = Event(
      from: "d", body: "x", enqueuedTime: Self.noon.advanced(by: .seconds(seconds)))
    var codes: [EventStoreError.Code?] = []
    func attempt(_ body: () async throws -> Void) async {
      do {
        try await body()
        codes.append(nil)
      } catch {
        codes.append((error as? EventStoreError)?.code)
      }
    }
    await attempt { _ = try await store.append(event) }
    await attempt {
      _ = try await store.append(contentsOf: [Event(from: "d", body: "y"), event])
    }
    await attempt {
      var appender = store.makeAppender()
      try appender.append(event)
      try appender.append(from: "d", body: [1], enqueuedTime: event.enqueuedTime)
      try appender.synchronize()
    }
    #expect(codes == Array(repeating: isAccepted ? nil : .enqueueTimeAhead, count: 3))
    #expect(try await store.texts().count == (isAccepted ? 5 : 0))
    try await store.close()
  }

  @Test(
    "An event of 256 KiB is taken, one byte more is refused, wherever the bytes are",
    arguments: [
      SizeCase.body, .properties, .systemProperties,
    ])
  func size(_ part: SizeCase) async throws {
    let store = try await MemoryFileSystem().openStore()
    let largest = try part.event(of: Limits.eventSizeMax)
    let tooLarge = try part.event(of: Limits.eventSizeMax + 1)
    #expect(largest.size == Limits.eventSizeMax)
    try await store.append(largest)
    var appender = store.makeAppender()
    try appender.append(largest)
    let many = [largest, tooLarge]
    for refused in [
      await failure { try await store.append(tooLarge) },
      await failure { try await store.append(contentsOf: many) },
    ] {
      #expect(refused?.code == .limitExceeded)
      #expect(refused?.message == "event size is 262145, the limit is 262144")
    }
    do throws(EventStoreError) {
      try appender.append(tooLarge)
      Issue.record("an event that is too large was taken in")
    } catch {
      #expect(error.code == .limitExceeded)
    }
    if part != .systemProperties {
      do throws(EventStoreError) {
        try appender.append(
          from: "d", body: Array(tooLarge.body.bytes), properties: tooLarge.properties)
        Issue.record("an event that is too large was taken in")
      } catch {
        #expect(error.code == .limitExceeded)
      }
    }
    try appender.synchronize()
    let events = try await store.everything()[0]
    #expect(events?.count == 2)
    #expect(events?.allSatisfy { $0.size == largest.size && $0.body == largest.body } == true)
    try await store.close()
  }

  enum SizeCase: Sendable {
    case body, properties, systemProperties

    func event(of size: Int) throws -> Event {
      var event = Event(from: "d", body: .empty)
      switch self {
      case .body: event.body = Payload([UInt8](repeating: 65, count: size))
      case .properties:
        event.properties = try Properties([
          (name: "name", value: String(repeating: "v", count: size - 4))
        ])
      case .systemProperties:
        event.systemProperties[.correlationID] = String(repeating: "c", count: size)
      }
      return event
    }
  }

  @Test("What the hub bounds by its name is bounded however it is given")
  func systemPropertyRules() async throws {
    let store = try await MemoryFileSystem().openStore()
    var appender = store.makeAppender()
    for (property, text) in [
      (SystemProperty.messageID, String(repeating: "m", count: 129)), (.messageID, "two words"),
      (.messageID, ""), (.moduleID, "a/b"), (.moduleID, String(repeating: "m", count: 129)),
    ] {
      var event = Event(from: "d", body: "x")
      event.systemProperties[property] = text
      let bad = event
      #expect(await failure { try await store.append(bad) }?.code == .invalidArgument)
      do throws(EventStoreError) {
        try appender.append(bad)
        Issue.record("'\(text)' was taken for a \(property)")
      } catch {
        #expect(error.code == .invalidArgument)
      }
    }
    var event = Event(from: "d", body: "x")
    event.systemProperties[.messageID] = String(repeating: ":", count: 128)
    event.systemProperties[.moduleID] = "sensor#1"
    try await store.append(event)
    #expect(try await store.texts().count == 1)
    try await store.close()
  }
}
