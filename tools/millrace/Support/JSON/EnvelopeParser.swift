package import EventModel

/// Reads lines that are events as JSON (or messages for a queue) as the command writes them.
package struct EnvelopeParser: Sendable {
  /// What the lines stand for; decides which keys they may have.
  package enum Form: Hashable, Sendable {
    /// Events. `partition`, `sequenceNumber` and `enqueuedTime` may be there and are ignored: the
    /// store assigns them.
    case event
    /// Messages to devices, as `queue send --stdin` takes them.
    case queueMessage
  }

  /// A line's content.
  package struct Envelope: Hashable, Sendable {
    /// Device, body and properties.
    package var event: Event
    /// The message's id; also among the event's system properties.
    package var messageID: MessageID?
    /// A message's time to live.
    package var timeToLive: Duration?
    /// A message's wish for feedback, as written.
    package var acknowledgement: String?
  }

  private enum Key: String {
    case partition, sequenceNumber, enqueuedTime, deviceId, moduleId, messageId, correlationId
    case userId, contentType, contentEncoding, creationTime, properties, body, bodyBase64
    case ttl, ack

    func isAllowed(in form: Form) -> Bool {
      switch self {
      case .deviceId, .messageId, .properties, .body, .bodyBase64: true
      case .ttl, .ack: form == .queueMessage
      default: form == .event
      }
    }
  }

  private let form: Form

  package init(_ form: Form = .event) { self.form = form }

  /// Reads one line.
  ///
  /// A body without escapes shares the line's bytes.
  package func parse(_ line: ArraySlice<UInt8>) throws(BadLine) -> Envelope {
    do {
      let bytes = line.span
      let document = try JSONScanner.document(bytes)
      guard document.kind == .object else { throw BadLine("the line is not a JSON object") }
      var fields = EnvelopeFields()
      var seen: Set<Key> = []
      var scanner = JSONScanner()
      try scanner.enterObject(bytes)
      while let keyValue = try scanner.nextKey(bytes) {
        let name = try JSONText.string(keyValue, in: bytes)
        guard let key = Key(rawValue: name), key.isAllowed(in: form) else {
          throw BadLine("unknown key '\(name)'")
        }
        guard seen.insert(key).inserted else { throw BadLine("key '\(name)' is given twice") }
        let value = try scanner.value(bytes)
        try read(key, value, line, &fields)
      }
      return try fields.envelope()
    } catch let error as BadLine {
      throw error
    } catch let error as JSONError {
      throw BadLine(error)
    } catch {
      throw BadLine("\(error)")
    }
  }

  private func read(
    _ key: Key, _ value: JSONScanner.Value, _ line: ArraySlice<UInt8>,
    _ fields: inout EnvelopeFields
  ) throws {
    func text() throws -> String {
      guard value.kind == .string else { throw BadLine("'\(key.rawValue)' must be a string") }
      return try JSONText.string(value, in: line.span)
    }
    switch key {
    case .partition, .sequenceNumber, .enqueuedTime: break
    case .deviceId: fields.deviceID = try DeviceID(try text())
    case .moduleId: fields.system[.moduleID] = try DeviceID(try text()).description
    case .messageId:
      let id = try MessageID(try text())
      fields.messageID = id
      fields.system[.messageID] = id.text
    case .correlationId: fields.system[.correlationID] = try text()
    case .userId: fields.system[.userID] = try text()
    case .contentType: fields.system[.contentType] = try text()
    case .contentEncoding: fields.system[.contentEncoding] = try text()
    case .creationTime: fields.system[.creationTime] = try text()
    case .properties: fields.properties = try properties(value, line.span)
    case .body: fields.body = try body(value, line)
    case .bodyBase64:
      guard let bytes = Base64.decode(Array(try text().utf8)) else {
        throw BadLine("'bodyBase64' is not base64 with padding")
      }
      fields.bodyBase64 = Payload(bytes)
    case .ttl:
      do {
        fields.timeToLive = try DurationText(parsing: try text()).duration
      } catch let error as BadArgument {
        throw BadLine("'ttl': \(error)")
      }
    case .ack: fields.acknowledgement = try text()
    }
  }

  private func body(
    _ value: JSONScanner.Value, _ line: ArraySlice<UInt8>
  ) throws -> Payload {
    guard value.kind == .string else {
      throw BadLine("'body' must be a string; JSON goes into it with its quotes escaped")
    }
    if value.hasEscapes { return Payload(try JSONText.decode(value, in: line.span)) }
    let start = line.startIndex + value.range.lowerBound + 1
    return Payload(line[start..<start + value.range.count - 2])
  }

  private func properties(
    _ value: JSONScanner.Value, _ bytes: Span<UInt8>
  ) throws -> Properties {
    guard value.kind == .object else { throw BadLine("'properties' must be an object of strings") }
    var pairs: [(name: String, value: String)] = []
    var scanner = JSONScanner(at: value.range.lowerBound)
    try scanner.enterObject(bytes)
    while let key = try scanner.nextKey(bytes) {
      let name = try JSONText.string(key, in: bytes)
      let text = try scanner.value(bytes)
      guard text.kind == .string else { throw BadLine("property '\(name)' must be a string") }
      pairs.append((name, try JSONText.string(text, in: bytes)))
    }
    return try Properties(pairs)
  }
}

/// What was read of a line so far.
private struct EnvelopeFields {
  var deviceID: DeviceID?
  var messageID: MessageID?
  var system = SystemProperties.empty
  var properties = Properties.empty
  var body: Payload?
  var bodyBase64: Payload?
  var timeToLive: Duration?
  var acknowledgement: String?

  func envelope() throws(BadLine) -> EnvelopeParser.Envelope {
    guard let deviceID else { throw BadLine("'deviceId' is missing") }
    guard body == nil || bodyBase64 == nil else {
      throw BadLine("'body' and 'bodyBase64' exclude each other")
    }
    var event = Event(
      from: deviceID, body: body ?? bodyBase64 ?? .empty, properties: properties)
    event.systemProperties = system
    return EnvelopeParser.Envelope(
      event: event, messageID: messageID, timeToLive: timeToLive,
      acknowledgement: acknowledgement)
  }
}
