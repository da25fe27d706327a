import EventModel
import LogFormat
import Testing

/// What stands in queue files and their directory (format-spec §14.4, §14.5).
@Suite("Filed messages")
struct FiledMessageTests {
  private static let messages: [FiledMessage] = {
    var lost = FiledMessage(
      sequence: Limits.numberMax, expiry: Timestamp(microseconds: .max), feedback: .negative,
      deliveryCount: 65_535)
    lost.isLost = true
    return [
      lost,
      FiledMessage(
        sequence: 0, expiry: Timestamp(microseconds: -1), feedback: .none, deliveryCount: 0),
      FiledMessage(
        sequence: 300, expiry: Timestamp(microseconds: 5), feedback: .full, deliveryCount: 2,
        availableFrom: Timestamp(microseconds: 12)),
      FiledMessage(
        sequence: 300, expiry: Timestamp(microseconds: 5), feedback: .positive, deliveryCount: 1,
        isLocked: true),
    ]
  }()

  private func decode(_ bytes: RawSpan) throws(FormatError) -> FiledMessage {
    var reader = ByteReader(bytes)
    return try FiledMessage(decoding: &reader)
  }

  @Test("A message is decoded as it was encoded, and a cut one is damage", arguments: messages)
  func roundTrip(message: FiledMessage) throws {
    var buffer = ByteBuffer()
    message.encode(into: &buffer)
    #expect(try buffer.withBytes { try decode($0) } == message)
    for cut in 0..<buffer.count {
      #expect(throws: FormatError.self) { try buffer.withBytes(0..<cut) { try decode($0) } }
    }
  }

  @Test("A flag of a later program is unsupported, not damage")
  func laterFlags() throws {
    var buffer = ByteBuffer()
    Self.messages[1].encode(into: &buffer)
    // Sequence number, expiry and feedback mode stand before the flags.
    buffer.store(UInt8(8), at: 10)
    #expect(throws: FormatError.unsupportedFeatures(8)) {
      try buffer.withBytes { try decode($0) }
    }
  }

  @Test("A record of the directory is decoded as it was encoded; no damaged byte crashes")
  func directory() throws {
    let queue = FiledQueue(
      checkpoint: 7, isOutdated: true, messages: Self.messages.map { ($0, 1_500) })
    var buffer = ByteBuffer()
    queue.encode(into: &buffer)
    let decoded = try buffer.withBytes { try FiledQueue(decoding: $0) }
    #expect(decoded.checkpoint == 7 && decoded.isOutdated)
    #expect(decoded.messages.map(\.message) == Self.messages)
    #expect(decoded.messages.allSatisfy { $0.size == 1_500 })
    let bytes = buffer.array(0..<buffer.count)
    for cut in 0..<bytes.count {
      #expect(throws: FormatError.self) {
        try buffer.withBytes(0..<cut) { try FiledQueue(decoding: $0) }
      }
    }
    for position in bytes.indices {
      for value in UInt8.min...UInt8.max where value != bytes[position] {
        var changed = ByteBuffer()
        changed.append(bytes)
        changed.store(value, at: position)
        do throws(FormatError) {
          let other = try changed.withBytes { (bytes) throws(FormatError) in
            try FiledQueue(decoding: bytes)
          }
          #expect(other.messages.count <= FiledQueue.messageCountMax)
        } catch {
          continue
        }
      }
    }
  }

  @Test("The names of queue files state what they hold, and no other name does")
  func names() throws {
    let device: DeviceID = "a-b.c*1-00000001"
    let name = FileNames.queueFile(of: device, checkpoint: 0xAB)
    #expect(name == "a-b.c*1-00000001-000000ab.queue")
    let parsed = try #require(FileNames.parseQueueFile(name))
    #expect(parsed.device == device && parsed.checkpoint == 0xAB)
    for other in ["x.queue", "x-ab.queue", "-00000001.queue", "x-000000AB.queue", "x-00000001"] {
      #expect(FileNames.parseQueueFile(other) == nil, "\(other)")
    }
    let last = Limits.queueCheckpointMax
    #expect(FileNames.parseQueueFile("x-7fffffff.queue")?.checkpoint == last)
    #expect(FileNames.parseQueueDirectory("7fffffff.directory") == last)
    for checkpoint in ["00000000", "80000000", "ffffffff"] {
      #expect(FileNames.parseQueueFile("x-\(checkpoint).queue") == nil)
      #expect(FileNames.parseQueueDirectory("\(checkpoint).directory") == nil)
    }
    #expect(FileNames.parseQueueDirectory("0000000a.directory") == 10)
    #expect(FileNames.parseQueueDirectory("a.directory") == nil)
  }
}
