package import EventModel

/// Reads lines of any JSON: the line is the body, and the device's name is somewhere in it.
package struct NDJSONParser: Sendable {
  private let deviceField: JSONPointer
  private let timeField: JSONPointer?
  private var devices = DeviceCache()

  package init(deviceField: JSONPointer, timeField: JSONPointer? = nil) {
    self.deviceField = deviceField
    self.timeField = timeField
  }

  /// Reads one line, which must be one JSON value.
  ///
  /// The body shares the line's bytes. A device that is a number is named by it as written.
  package mutating func parse(_ line: ArraySlice<UInt8>) throws(BadLine) -> Event {
    let bytes = line.span
    do throws(JSONError) {
      _ = try JSONScanner.document(bytes)
    } catch {
      throw BadLine(error)
    }
    let name = try text(at: deviceField, bytes)
    let device: DeviceID
    do throws(InvalidIdentifier) {
      device = try devices.device(name.span)
    } catch {
      throw BadLine("'\(deviceField)': \(error)")
    }
    var event = Event(from: device, body: Payload(line))
    if let timeField {
      let time = try text(at: timeField, bytes)
      event.enqueuedTime = try TimeText.parse(time.span)
    }
    return event
  }

  private func text(
    at pointer: JSONPointer, _ bytes: Span<UInt8>
  ) throws(BadLine) -> [UInt8] {
    let found: JSONScanner.Value?
    do throws(JSONError) {
      found = try pointer.resolve(in: bytes)
      if let found, found.kind == .string { return try JSONText.decode(found, in: bytes) }
    } catch {
      throw BadLine(error)
    }
    guard let found else { throw BadLine("there is nothing at '\(pointer)'") }
    guard found.kind == .number else {
      throw BadLine("'\(pointer)' must be a string or a number")
    }
    return found.range.map { bytes[$0] }
  }
}
