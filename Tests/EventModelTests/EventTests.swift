import EventModel
import Testing

@Suite struct PropertiesTests {
  @Test func `properties keep their order and are found by name`() throws {
    let properties: Properties = ["b": "2", "a": "", "Ä": "größer"]
    #expect(properties.map(\.name) == ["b", "a", "Ä"])
    #expect(properties["Ä"] == "größer" && properties["a"] == "" && properties["B"] == nil)
    #expect(properties.count == 3 && properties.size == 1 + 1 + 1 + 2 + 8)
    #expect(properties == ["b": "2", "a": "", "Ä": "größer"])
    #expect(properties != ["a": "", "b": "2", "Ä": "größer"])
  }

  @Test func `the empty set is one, however it is made`() throws {
    let pairs: [(name: String, value: String)] = []
    #expect(try Properties(pairs) == .empty && Properties().isEmpty)
    #expect(Properties.empty.size == 0 && Properties.empty.identity == nil)
    #expect(Array(Properties.empty).isEmpty)
  }

  @Test func `copies share their identity, equal sets made apart do not`() {
    let first: Properties = ["a": "1"]
    let copy = first
    let again: Properties = ["a": "1"]
    #expect(first.identity == copy.identity && first.identity != again.identity)
    #expect(Set([first, copy, again]).count == 1)
  }

  @Test func `empty and repeated names are refused`() {
    #expect(throws: InvalidProperties.emptyName) { try Properties([(name: "", value: "1")]) }
    #expect(throws: InvalidProperties.duplicateName("a")) {
      try Properties([(name: "a", value: "1"), (name: "a", value: "2")])
    }
  }

  @Test func `the number of properties is bounded`() throws {
    let most = (0..<Limits.propertyCountMax).map { (name: "n\($0)", value: "") }
    #expect(try Properties(most).count == Limits.propertyCountMax)
    #expect(throws: InvalidProperties.tooMany(limit: Limits.propertyCountMax)) {
      try Properties(most + [(name: "one more", value: "")])
    }
  }
}

@Suite struct EventTests {
  @Test func `the size counts bodies, values of system properties and properties`() {
    let event = Event(
      from: "device-with-a-long-name", body: "12345", contentType: "text", messageID: "m1",
      properties: ["unit": "C"])
    #expect(event.size == 5 + 4 + 2 + 5)
    #expect(Event(from: "d", body: .empty).size == 0)
  }

  @Test func `system properties are absent until they are set`() {
    var properties = SystemProperties()
    #expect(properties.isEmpty && properties == .empty)
    properties[.messageSource] = "Telemetry"
    #expect(properties[.messageSource] == "Telemetry" && properties.size == 9)
    properties[.messageSource] = nil
    #expect(properties.isEmpty)
  }

  @Test func `the numbers of system properties never change`() {
    let names = SystemProperty.allCases.map { "\($0.rawValue) \($0)" }
    #expect(
      names == [
        "0 moduleID", "1 messageID", "2 correlationID", "3 userID", "4 contentType",
        "5 contentEncoding", "6 creationTime", "7 componentName", "8 dataSchema",
        "9 generationID", "10 authenticationMethod", "11 messageSource",
      ])
    #expect(CompressionCodec.allCases.map(\.rawValue) == [0, 1, 2])
  }

  @Test func `payloads are equal by their bytes, however they were made`() {
    let text: Payload = "abc"
    let slice = Payload([0x7a, 0x61, 0x62, 0x63][1...])
    #expect(text == slice && text.hashValue == slice.hashValue)
    #expect(slice.count == 3 && Array(slice.bytes) == [0x61, 0x62, 0x63])
    #expect(slice.withBytes { $0.byteCount } == 3)
    #expect(Payload(copying: [1, 2].lazy.map { $0 }) == [1, 2])
  }

  @Test func `a gap tells where, how many and why`() {
    let gap = Gap(partition: 2, first: 10, next: 25, reason: .lostSuffix)
    #expect(gap.count == 15)
    #expect(gap.description == "p2: 15 events from 10 up to 25 are missing (lostSuffix)")
  }
}

@Suite struct UnitTests {
  @Test func `instants move by durations and stop at the ends of their range`() {
    let time = Timestamp(microseconds: 1_000)
    #expect(time.advanced(by: .milliseconds(2)).microseconds == 3_000)
    #expect(time.advanced(by: .microseconds(-1_001)).microseconds == -1)
    #expect(time.advanced(by: .nanoseconds(999)) == time)
    let latest = Timestamp(microseconds: .max)
    #expect(latest.advanced(by: .microseconds(1)).microseconds == .max)
    #expect(Timestamp(microseconds: .min).advanced(by: .seconds(-1)).microseconds == .min)
    #expect(time.advanced(by: .seconds(Int64.max)).microseconds == .max)
    #expect(latest.advanced(by: .seconds(-1)).microseconds == .max - 1_000_000)
  }

  @Test func `instants stop at the earliest for steps back of less than a second`() {
    let earliest = Timestamp(microseconds: .min)
    #expect(earliest.advanced(by: .microseconds(-1)).microseconds == .min)
  }

  @Test func `offsets stay at the largest number`() {
    #expect(Offset(5).advanced(by: 7) == 12)
    #expect(Offset(.max).advanced(by: 1) == Offset(.max))
    #expect(Offset.zero < 1 && Offset(3).description == "3")
  }

  @Test func `sizes print in the largest unit that divides them`() {
    #expect(ByteCount.kibibytes(64).description == "64KiB")
    #expect(ByteCount.mebibytes(1_024).description == "1GiB")
    #expect(ByteCount.bytes(70).description == "70B")
    #expect(ByteCount.zero.description == "0B")
    #expect((ByteCount.kibibytes(1) + .bytes(1)).bytes == 1_025)
  }

  @Test func `file positions count bytes`() {
    #expect(FilePosition.start.advanced(by: 64) == FilePosition(64))
    #expect(FilePosition(63) < FilePosition(64))
  }

  @Test func `an exceeded limit names itself, the maximum and the value`() {
    let error = LimitExceeded("event size", maximum: Limits.eventSizeMax, value: 300_000)
    #expect(error.description == "event size is 300000, the limit is 262144")
  }

  @Test func `limits fit the format's fields`() {
    #expect(Limits.batchRecordCountMax <= Int(UInt16.max))
    #expect(Limits.identifierSizeMax <= Int(UInt8.max))
    #expect(Limits.batchSizeMax + Limits.eventSizeMax < Limits.blockSizeMax)
    let deviceSetSizeMax = Limits.batchRecordCountMax * (Limits.identifierSizeMax + 3)
    #expect(deviceSetSizeMax < Limits.clearSectionSizeMax)
    #expect(Limits.batchSizeMin < Limits.batchSizeMax)
    #expect(Limits.segmentSizeMin < Limits.segmentSizeMax)
  }
}
