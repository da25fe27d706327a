import Millrace

/// Cuts records into device id, properties and body.
///
/// A record is `u8 size, id, u16 size, (u8 size, name, u8 size, value)…, body`.
struct RecordCutter: ~Copyable {
  struct Cut {
    let device: UnsafeRawBufferPointer
    /// Their place in the table.
    let properties: Int
    let body: UnsafeRawBufferPointer
  }

  private(set) var devices = InternTable<DeviceID>()
  private(set) var properties = InternTable<Properties>()

  @inline(__always)
  mutating func cut(_ record: UnsafeRawBufferPointer) throws -> Cut {
    let idEnd = 1 + Int(record[0])
    let start = idEnd + 2
    let end = start + Int(record.loadUnaligned(fromByteOffset: idEnd, as: UInt16.self))
    let set = try properties.place(of: .init(rebasing: record[start..<end])) {
      try Properties(Self.pairs($0))
    }
    return Cut(
      device: .init(rebasing: record[1..<idEnd]), properties: set,
      body: .init(rebasing: record[end...]))
  }

  /// Cuts a record and appends what it is cut into.
  @inline(__always)
  mutating func append(
    _ record: RecordFile.Record, to appender: inout EventAppender, _ form: AppendForm
  ) throws {
    let cut = try cut(record.bytes)
    let time = Timestamp(microseconds: record.time)
    switch form {
    case .borrowed:
      try properties.lend(cut.properties) { properties in
        _ = try appender.append(
          fromDeviceWithID: cut.device.bytes, body: cut.body.bytes, properties: properties,
          enqueuedTime: time)
      }
    case .owned:
      let device = try devices.place(of: cut.device) {
        try DeviceID(utf8: $0.bindMemory(to: UInt8.self).span)
      }
      try appender.append(
        Event(
          from: devices[device], body: Payload(copying: cut.body.bytes),
          properties: properties[cut.properties], enqueuedTime: time))
    }
  }

  private static func pairs(_ bytes: UnsafeRawBufferPointer) -> [(name: String, value: String)] {
    var texts: [String] = []
    var position = 0
    while position < bytes.count {
      let end = position + 1 + Int(bytes[position])
      texts.append(String(decoding: bytes[position + 1..<end], as: UTF8.self))
      position = end
    }
    return stride(from: 0, to: texts.count, by: 2).map { (texts[$0], texts[$0 + 1]) }
  }
}

/// Whether the store is lent the bytes of an event or given an event that owns them.
enum AppendForm {
  case borrowed
  case owned
}
