package import EventModel

/// Writes events as JSON, one a line, with the keys in the order that is promised.
package enum EventLine {
  /// What an event has besides its device, its properties and its body.
  package struct Place: Hashable, Sendable {
    /// Nil for what stands in no partition, such as a delivery from a queue.
    package var partition: Int?
    package var sequenceNumber: UInt64
    package var enqueuedTime: Timestamp

    package init(partition: Int?, sequenceNumber: UInt64, enqueuedTime: Timestamp) {
      self.partition = partition
      self.sequenceNumber = sequenceNumber
      self.enqueuedTime = enqueuedTime
    }
  }

  /// The system properties that are shown, in their order.
  private static let systemKeys: [(SystemProperty, [UInt8])] = [
    (.moduleID, Array(#","moduleId":"#.utf8)),
    (.messageID, Array(#","messageId":"#.utf8)),
    (.correlationID, Array(#","correlationId":"#.utf8)),
    (.userID, Array(#","userId":"#.utf8)),
    (.contentType, Array(#","contentType":"#.utf8)),
    (.contentEncoding, Array(#","contentEncoding":"#.utf8)),
    (.creationTime, Array(#","creationTime":"#.utf8)),
  ]

  /// Appends one event and a line feed.
  ///
  /// - Parameters:
  ///   - place: Where and when.
  ///   - deviceID: The device's name; ASCII, as every device id is.
  ///   - systemProperties: Those the event has; what has no key is left out.
  ///   - properties: The application's names and values.
  ///   - body: Written as a string if it is UTF-8, else as base64.
  ///   - more: Keys after the body, for deliveries and dead letters.
  ///   - bytes: What the line is appended to.
  package static func append(
    _ place: Place, deviceID: RawSpan, systemProperties: SystemProperties, properties: Properties,
    body: RawSpan, more: [JSONValue.Member] = [], to bytes: inout [UInt8]
  ) {
    append(place, to: &bytes)
    append(#","deviceId":"#, to: &bytes)
    JSONWriter.appendString(deviceID, to: &bytes)
    if !systemProperties.isEmpty {
      for (property, key) in systemKeys {
        guard let value = systemProperties[property] else { continue }
        bytes.append(contentsOf: key)
        JSONWriter.appendString(value, to: &bytes)
      }
    }
    if !properties.isEmpty { append(properties, to: &bytes) }
    append(body: body, to: &bytes)
    for member in more {
      bytes.append(UInt8(ascii: ","))
      JSONWriter.appendString(member.key, to: &bytes)
      bytes.append(UInt8(ascii: ":"))
      member.value.append(to: &bytes)
    }
    append("}\n", to: &bytes)
  }

  /// Appends one event and a line feed.
  package static func append(
    _ event: Event, at place: Place, more: [JSONValue.Member] = [], to bytes: inout [UInt8]
  ) {
    let device = event.deviceID.utf8
    event.body.withBytes { body in
      // SAFETY: bytes have no padding.
      append(
        place, deviceID: unsafe device.span.bytes, systemProperties: event.systemProperties,
        properties: event.properties, body: body, more: more, to: &bytes)
    }
  }

  private static func append(_ place: Place, to bytes: inout [UInt8]) {
    append("{", to: &bytes)
    if let partition = place.partition {
      append(#""partition":"#, to: &bytes)
      JSONWriter.appendInteger(partition, to: &bytes)
      append(",", to: &bytes)
    }
    append(#""sequenceNumber":"#, to: &bytes)
    JSONWriter.appendInteger(place.sequenceNumber, to: &bytes)
    append(#","enqueuedTime":""#, to: &bytes)
    TimeText.append(place.enqueuedTime, to: &bytes)
    append("\"", to: &bytes)
  }

  private static func append(_ properties: Properties, to bytes: inout [UInt8]) {
    append(#","properties":"#, to: &bytes)
    var separator = UInt8(ascii: "{")
    for (name, value) in properties {
      bytes.append(separator)
      separator = UInt8(ascii: ",")
      JSONWriter.appendString(name, to: &bytes)
      bytes.append(UInt8(ascii: ":"))
      JSONWriter.appendString(value, to: &bytes)
    }
    bytes.append(UInt8(ascii: "}"))
  }

  private static func append(body: RawSpan, to bytes: inout [UInt8]) {
    let octets = Span<UInt8>(_bytes: body)
    do {
      _ = try UTF8Span(validating: octets)
    } catch {
      append(#","bodyBase64":""#, to: &bytes)
      Base64.encode(octets, to: &bytes)
      append("\"", to: &bytes)
      return
    }
    append(#","body":"#, to: &bytes)
    JSONWriter.appendString(body, to: &bytes)
  }

  @inline(__always)
  private static func append(_ text: StaticString, to bytes: inout [UInt8]) {
    // SAFETY: a static string's bytes live for ever.
    text.withUTF8Buffer { buffer in unsafe bytes.append(contentsOf: buffer) }
  }
}
