import CommandSupport
import EventModel
import Testing

@Suite("Events as JSON")
struct EventLineTests {
  private static let place = EventLine.Place(
    partition: 3, sequenceNumber: 18_204,
    enqueuedTime: Timestamp(microseconds: 1_714_564_800_000_001))

  private static func line(
    _ event: Event, at place: EventLine.Place = place, more: [JSONValue.Member] = []
  ) -> String {
    var bytes: [UInt8] = []
    EventLine.append(event, at: place, more: more, to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func parse(
    _ line: String, _ form: EnvelopeParser.Form = .event
  ) throws(BadLine) -> EnvelopeParser.Envelope {
    try EnvelopeParser(form).parse(Array(line.utf8)[...])
  }

  @Test("Keys come in the promised order, and an event with everything has them all")
  func order() {
    let event = Event(
      from: "thermo-1", body: #"{"t":1}"#, contentType: "application/json",
      contentEncoding: "utf-8", messageID: "m1", correlationID: "c\"1", userID: "u",
      moduleID: "mod", creationTime: "2024-05-01", properties: ["b": "2", "a": "\n"])
    #expect(
      Self.line(event)
        == #"{"partition":3,"sequenceNumber":18204,"enqueuedTime":"2024-05-01T12:00:00.000001Z","#
        + #""deviceId":"thermo-1","moduleId":"mod","messageId":"m1","correlationId":"c\"1","#
        + #""userId":"u","contentType":"application/json","contentEncoding":"utf-8","#
        + #""creationTime":"2024-05-01","properties":{"b":"2","a":"\n"},"body":"{\"t\":1}"}"#
        + "\n")
  }

  @Test("Absent values have no key; keys of a delivery come last")
  func absent() {
    let place = EventLine.Place(
      partition: nil, sequenceNumber: 0, enqueuedTime: Timestamp(microseconds: 0))
    let line = Self.line(
      Event(from: "d", body: .empty), at: place,
      more: [JSONValue.Member("deliveryCount", 1), JSONValue.Member("lockToken", "x")])
    #expect(
      line == #"{"sequenceNumber":0,"enqueuedTime":"1970-01-01T00:00:00.000000Z","deviceId":"d","#
        + #""body":"","deliveryCount":1,"lockToken":"x"}"# + "\n")
  }

  @Test("A body that is not UTF-8 is written as base64")
  func binary() throws {
    let event = Event(from: "d", body: [0x61, 0xff, 0x00])
    let line = Self.line(event)
    #expect(line.hasSuffix(#""bodyBase64":"Yf8A"}"# + "\n"))
    #expect(try Self.parse(line).event == event)
  }

  @Test("Events come back exactly as they were", arguments: [51, 52, 53, 54] as [UInt64])
  func roundTrip(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    func text(_ limit: Int) -> String {
      let characters: [Character] = [
        "a", "b", "{", "\"", "\\", "/", "\n", "\r\n", "\t", "\u{0}", "\u{1f}", "\u{7f}", "é", "漢",
        "😀", " ", "\u{2028}",
      ]
      return String(
        (0..<Int.random(in: 0...limit, using: &random)).map { _ in
          Int.random(in: 0..<3, using: &random) > 0
            ? "x" : characters.randomElement(using: &random) ?? "x"
        })
    }
    for round in 0..<600 {
      var pairs: [(name: String, value: String)] = []
      for index in 0..<Int.random(in: 0...4, using: &random) {
        pairs.append((text(6) + "\(index)", text(20)))
      }
      let isBinary = Int.random(in: 0..<3, using: &random) == 0
      let body =
        isBinary
        ? Payload(
          (0..<Int.random(in: 0...80, using: &random)).map { _ in
            UInt8.random(in: 0...255, using: &random)
          }) : Payload(text(200))
      let coin = Bool.random(using: &random)
      let event = Event(
        from: try DeviceID("device-\(round)"), body: body, contentType: coin ? text(9) : nil,
        contentEncoding: coin ? nil : text(9), messageID: coin ? "m:1" : nil,
        correlationID: coin ? text(9) : nil, userID: coin ? nil : text(9),
        moduleID: coin ? "module" : nil, creationTime: coin ? text(9) : nil,
        properties: try Properties(pairs))
      let line = Self.line(event)
      #expect(try Self.parse(line).event == event, "seed \(seed), round \(round): \(line)")
      #expect(line.utf8.filter { $0 == 0x0a }.count == 1, "seed \(seed), round \(round)")
    }
  }

  @Test("Keys may come in any order, and escaped")
  func anyOrder() throws {
    let parsed = try Self.parse(
      #" { "body" : "x\u0041" , "device\u0049d":"d", "enqueuedTime":null,"partition":"any","#
        + #""sequenceNumber":[1],"properties":{} } "#)
    #expect(parsed.event == Event(from: "d", body: "xA"))
  }

  @Test(
    "Lines that are no events are refused with a reason",
    arguments: [
      ("[]", "not a JSON object"), ("{}", "'deviceId' is missing"), ("{", "not valid JSON"),
      (#"{"deviceId":"d","body":"a","bodyBase64":""}"#, "exclude each other"),
      (#"{"deviceId":"d","bodyBase64":"Zg"}"#, "not base64"),
      (#"{"deviceId":"d","body":{"a":1}}"#, "must be a string"),
      (#"{"deviceId":"d","boddy":"a"}"#, "unknown key 'boddy'"),
      (#"{"deviceId":"d","ttl":"5s"}"#, "unknown key 'ttl'"),
      (#"{"deviceId":"d","deviceId":"e"}"#, "'deviceId' is given twice"),
      (#"{"deviceId":"a b"}"#, "invalid device id"), (#"{"deviceId":1}"#, "must be a string"),
      (#"{"deviceId":"d","messageId":""}"#, "invalid message id"),
      (#"{"deviceId":"d","messageId":null}"#, "'messageId' must be a string"),
      (#"{"deviceId":"d","moduleId":"m/1"}"#, "invalid device id"),
      (#"{"deviceId":"d","properties":[]}"#, "object of strings"),
      (#"{"deviceId":"d","properties":{"a":1}}"#, "property 'a' must be a string"),
      (#"{"deviceId":"d","properties":{"a":"1","a":"2"}}"#, "given twice"),
      (#"{"deviceId":"d","properties":{"":"1"}}"#, "empty name"),
      (#"{"deviceId":"d","body":"\ud800"}"#, "half a surrogate pair"),
      (#"{"deviceId":"d"} x"#, "more after the value"),
    ])
  func refused(line: String, reason: String) {
    let error = #expect(throws: BadLine.self) { try Self.parse(line) }
    #expect(error?.description.contains(reason) == true, "\(error as Any)")
  }

  @Test("Messages for a queue have their own keys")
  func queueMessages() throws {
    let parsed = try Self.parse(
      #"{"deviceId":"d","messageId":"m","body":"x","ttl":"2s","#
        + #""ack":"full","properties":{"k":"v"}}"#,
      .queueMessage)
    #expect(parsed.event == Event(from: "d", body: "x", messageID: "m", properties: ["k": "v"]))
    #expect(parsed.messageID == "m")
    #expect(parsed.timeToLive == .seconds(2))
    #expect(parsed.acknowledgement == "full")
    for line in [#"{"deviceId":"d","partition":1}"#, #"{"deviceId":"d","ttl":"2"}"#] {
      #expect(throws: BadLine.self) { try Self.parse(line, .queueMessage) }
    }
  }

  @Test("A line of any JSON is its own body")
  func ndjson() throws {
    let line = Array(#"{ "id": {"eui":"a\u0031"}, "t": 1630590000123, "n":[5]}"#.utf8)
    var parser = NDJSONParser(
      deviceField: try JSONPointer("/id/eui"), timeField: try JSONPointer("/t"))
    var expected = Event(from: "a1", body: Payload(line))
    expected.enqueuedTime = Timestamp(microseconds: 1_630_590_000_123_000)
    #expect(try parser.parse(line[...]) == expected)
    var numbers = NDJSONParser(deviceField: try JSONPointer("/n/0"))
    #expect(try numbers.parse(line[...]).deviceID == "5")
  }

  @Test(
    "A line without a usable device or time is refused",
    arguments: [
      ("{}", "nothing at '/d'"), (#"{"d":null}"#, "must be a string or a number"),
      (#"{"d":"a b"}"#, "'/d': invalid device id"), (#"{"d":"x"}"#, "nothing at '/t'"),
      (#"{"d":"x","t":"soon"}"#, "is no time"), (#"{"d":"x","t":1"#, "not valid JSON"),
      (#"{"d":"x","t":1} {}"#, "more after the value"), (#"{"d":"x","t":true}"#, "'/t' must be"),
    ])
  func badNDJSON(line: String, reason: String) throws {
    var parser = NDJSONParser(
      deviceField: try JSONPointer("/d"), timeField: try JSONPointer("/t"))
    let error = #expect(throws: BadLine.self) { try parser.parse(Array(line.utf8)[...]) }
    #expect(error?.description.contains(reason) == true, "\(error as Any)")
  }

  @Test("Thousands of devices keep their names, whatever order they come in")
  func manyDevices() throws {
    var parser = NDJSONParser(deviceField: try JSONPointer("/d"))
    for round in 0..<2 {
      for number in 0..<5_000 {
        let event = try parser.parse(Array(#"{"d":"device-\#(number)"}"#.utf8)[...])
        #expect(event.deviceID.description == "device-\(number)", "round \(round)")
      }
    }
  }
}
