import Foundation
import Glibc
import Testing

@Suite("Senders and receivers of messages that are killed")
struct KilledQueueTests {
  /// What is known of a message.
  private enum Fate: Equatable {
    /// Its sender was killed before it had the number.
    case sent
    /// Its sender has the number.
    case acknowledged(Int)
    /// Its receiver was killed before it could say that it is completed.
    case printed(Int)
    case completed
  }

  private struct Message: Decodable {
    let sequenceNumber: Int
    let deviceId: String
    let body: String
    let deliveryCount: Int
  }

  private struct Ledger {
    /// By body: no two messages have the same.
    var fates: [String: Fate] = [:]
    var acknowledgedCount = 0
    var killCount = 0
  }

  private static let devices = 0..<5
  /// Messages that a sender sends to each device; a queue holds 50.
  private static let sentMax = 12
  /// From here on a queue is emptied, before it is full or messages were delivered too often.
  private static let (waitingMax, deliveriesMax) = (30, 4)

  private let scratch: Scratch
  private let store: String

  init() throws {
    scratch = try Scratch()
    store = scratch.path("store")
    try Executable.succeed(["init", store], scratch: scratch)
  }

  private func messages(_ output: Data) throws -> [Message] {
    let whole = output.prefix((output.lastIndex(of: 0x0a) ?? output.startIndex - 1) + 1)
    return try Data(whole).lines.map { try JSONDecoder().decode(Message.self, from: $0) }
  }

  @Test("An acknowledged message is given until its completion was acknowledged, and not again")
  func kept() throws {
    var random = KillPlan.random("KilledQueueTests")
    var ledger = Ledger()
    // Two kills a round.
    for round in 0..<(KillPlan.killCount + 1) / 2 {
      try killSender(round, &ledger, &random)
      try check(&ledger, "round \(round), sending")
      try killReceiver(Int.random(in: Self.devices, using: &random), &ledger, &random)
      try check(&ledger, "round \(round), receiving")
    }
    for device in Self.devices { try complete(device, &ledger) }
    #expect(ledger.fates.values.allSatisfy { $0 == .completed })
    struct Check: Decodable { let clean: Bool }
    let fsck = try Executable.succeed(["fsck", store, "--json"], scratch: scratch)
    #expect(try fsck.document(Check.self).clean)
    print("counted: \(ledger.killCount) kills of senders and receivers")
    print("counted: \(ledger.acknowledgedCount) acknowledged messages")
  }

  /// The test itself: what a killed sender had acknowledged is taken away.
  @Test("A store that is as it was before the kill is noticed")
  func notBlind() throws {
    var random = SeededRandom(seed: 1)
    var ledger = Ledger()
    let before = scratch.path("before")
    try FileManager.default.copyItem(atPath: store, toPath: before)
    while ledger.acknowledgedCount == 0 { try killSender(0, &ledger, &random) }
    try FileManager.default.removeItem(atPath: store)
    try FileManager.default.moveItem(atPath: before, toPath: store)
    withKnownIssue { try check(&ledger, "as before") }
  }

  /// Sends to every device and kills the sender when some numbers have come.
  private func killSender(
    _ round: Int, _ ledger: inout Ledger, _ random: inout SeededRandom
  ) throws {
    let count = Int.random(in: 1...Self.sentMax, using: &random) * Self.devices.count
    let bodies = (0..<count).map { "\(round)/\($0) \(random.next())" }
    let sender = try Executable(["queue", "send", store, "--stdin"], scratch: scratch)
    let lines = bodies.enumerated().map { #"{"deviceId":"d\#(Self.device($0))","body":"\#($1)"}"# }
    sender.send((lines.joined(separator: "\n") + "\n").utf8)
    var printed = Data()
    let wanted = Int.random(in: 0...count, using: &random)
    while printed.lineEnds.count < wanted { printed += try sender.receive() }
    sender.send(signal: SIGKILL)
    printed += try sender.finish().output
    ledger.killCount += 1
    let numbers = printed.prefix((printed.lineEnds.last ?? 0)).lines
      .compactMap { Int(String(decoding: $0, as: UTF8.self)) }
    ledger.acknowledgedCount += numbers.count
    for body in bodies { ledger.fates[body] = .sent }
    for (body, number) in zip(bodies, numbers) { ledger.fates[body] = .acknowledged(number) }
  }

  private static func device(_ line: Int) -> Int { line % devices.count }

  /// Receives messages of a device, and kills the receiver at some time.
  private func killReceiver(
    _ device: Int, _ ledger: inout Ledger, _ random: inout SeededRandom
  ) throws {
    let receiver = try Executable(
      [
        "queue", "receive", store, "d\(device)", "--settle", "complete",
        "--max", "\(Int.random(in: 1...20, using: &random))",
      ], scratch: scratch)
    // Half of them while they have not printed, half of them while they complete what they printed.
    var printed = Data()
    if Bool.random(using: &random) { printed += try receiver.receive() }
    receiver.send(signal: SIGKILL)
    let outcome = try receiver.finish()
    ledger.killCount += 1
    for message in try messages(printed + outcome.output) {
      note(message, outcome.status == 0 ? .completed : .printed(message.sequenceNumber), &ledger)
    }
  }

  /// Receives and completes all messages of a device.
  private func complete(_ device: Int, _ ledger: inout Ledger) throws {
    let received = try Executable.succeed(
      ["queue", "receive", store, "d\(device)", "--settle", "complete", "--max", "50"],
      scratch: scratch)
    for message in try messages(received.output) { note(message, .completed, &ledger) }
  }

  /// Compares a message that was given with what is known of it.
  private func note(_ message: Message, _ fate: Fate, _ ledger: inout Ledger) {
    switch ledger.fates[message.body] {
    case .sent: break
    case .acknowledged(let number), .printed(let number):
      #expect(message.sequenceNumber == number)
    case .completed: Issue.record("\(message) was completed")
    case nil: Issue.record("\(message) was never sent")
    }
    ledger.fates[message.body] = fate
  }

  /// Checks what waits, and learns what became of the messages in doubt.
  private func check(_ ledger: inout Ledger, _ context: String) throws {
    // What a writer makes of the journal counts; those who only read see less of it.
    try Executable.succeed(["retain", store], scratch: scratch)
    var seen: Set<String> = []
    var full: [Int] = []
    for device in Self.devices {
      let waiting = try messages(
        Executable.succeed(
          ["queue", "peek", store, "d\(device)", "--max", "50"], scratch: scratch
        ).output)
      let numbers = waiting.map(\.sequenceNumber)
      #expect(numbers == numbers.sorted() && Set(numbers).count == numbers.count, "\(context)")
      for message in waiting {
        #expect(message.deviceId == "d\(device)", "\(context)")
        #expect(seen.insert(message.body).inserted, "\(context): \(message) is there twice")
        note(message, .acknowledged(message.sequenceNumber), &ledger)
      }
      if waiting.count > Self.waitingMax
        || waiting.contains(where: { $0.deliveryCount > Self.deliveriesMax })
      {
        full.append(device)
      }
    }
    for (body, fate) in ledger.fates where !seen.contains(body) {
      if case .acknowledged = fate { Issue.record("\(context): '\(body)' is lost") }
      // What did not come back is over, or never was there.
      ledger.fates[body] = .completed
    }
    for device in full { try complete(device, &ledger) }
  }
}
