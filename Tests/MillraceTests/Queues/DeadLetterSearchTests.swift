import EventModel
import Millrace
import StorageIO
import SystemPackage
import Testing

/// A dead letter is found by its number without a look at all of them.
@Suite("Dead letters by their numbers")
struct DeadLetterSearchTests {
  private static let devices: [EventModel.DeviceID] = ["a", "b", "c"]
  private static let count = 45

  /// A store whose dead letters are not in the order of their messages.
  private func fill(_ disk: MemoryFileSystem) async throws -> EventStore {
    // However slow the machine is, no lock runs out.
    let store = try await disk.openStore(
      .init(partitionCount: 1, queues: .init(lockDuration: .seconds(86_400))))
    let sent = try await store.enqueue(
      (0..<Self.count).map { (Self.devices[$0 % 3], DeviceMessage(body: Payload("body \($0)"))) })
    #expect(sent.refusal == nil)
    for device in Self.devices {
      let queue = store.deviceQueue(for: device)
      let messages = try await queue.receive(max: Self.count)
      for message in messages.reversed() {
        let count = try store.offsets(in: .deadLetters).upperBound
        try await queue.reject(message.lockToken)
        // Each in a batch of its own.
        while try store.offsets(in: .deadLetters).upperBound == count { await Task.yield() }
      }
    }
    return store
  }

  private func letters(_ store: EventStore) async throws -> [UInt64: DeadLetter] {
    var letters: [UInt64: DeadLetter] = [:]
    for try await batch in store.batches(in: .deadLetters, until: .highWatermark) {
      for letter in batch.compactMap(\.deadLetter) { letters[letter.sequenceNumber] = letter }
    }
    return letters
  }

  @Test("Each is found, also one that was sent again, and nothing else is")
  func found() async throws {
    let store = try await fill(MemoryFileSystem())
    let letters = try await letters(store)
    let again = try #require(letters.values.first)
    try await store.resend(again)
    for number in (0..<200 as Range<UInt64>) + [.max] {
      #expect(try await store.deadLetter(withSequenceNumber: number) == letters[number])
    }
    try await store.close()
  }

  @Test("Without dead letters there is none")
  func empty() async throws {
    let store = try await MemoryFileSystem().openStore(.init(partitionCount: 1))
    #expect(try await store.deadLetter(withSequenceNumber: 3) == nil)
    try await store.close()
  }

  @Test("Behind damage they are found as well", arguments: 0..<8 as Range)
  func damaged(part: Int) async throws {
    let disk = MemoryFileSystem()
    try await fill(disk).close()
    var files = disk.image
    let path = try #require(
      files.keys.first { $0.string.contains("dead-letter") && $0.extension == "segment" })
    let size = try #require(files[path]?.count)
    for place in 128 + part * (size - 128) / 8..<128 + (part + 1) * (size - 128) / 8 {
      files[path]?[place] = 0x55
    }
    let reader = try await MemoryFileSystem(files: files, directories: disk.directories)
      .openStore(.init(partitionCount: 1), access: .readOnly)
    let left = try await letters(reader)
    #expect(!left.isEmpty && left.count < Self.count)
    for number in 0..<100 as Range<UInt64> {
      #expect(try await reader.deadLetter(withSequenceNumber: number) == left[number])
    }
    try await reader.close()
  }
}
