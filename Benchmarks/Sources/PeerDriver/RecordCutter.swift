import Millrace

/// Cuts records into device id, properties and body.
///
/// A record is `u8 size, id, u16 size, (u8 size, name, u8 size, value)…, body`.
struct RecordCutter: ~Copyable {
  struct Cut {
    /// Places in the tables.
    let device: Int
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
    let device = try devices.place(of: .init(rebasing: record[1..<idEnd])) {
      try DeviceID(utf8: $0.bindMemory(to: UInt8.self).span)
    }
    let set = try properties.place(of: .init(rebasing: record[start..<end])) {
      try Properties(Self.pairs($0))
    }
    return Cut(device: device, properties: set, body: .init(rebasing: record[end...]))
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
