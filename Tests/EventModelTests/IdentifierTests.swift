import EventModel
import Testing

@Suite struct IdentifierTests {
  private static let alphanumerics =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

  /// The byte values that a rule accepts as the whole of a name.
  private func accepted(_ isAccepted: (String) -> Bool) -> String {
    (0..<128).map { String(UnicodeScalar(UInt8($0))) }.filter(isAccepted).sorted().joined()
  }

  private func sorted(_ text: String) -> String { text.map { String($0) }.sorted().joined() }

  @Test func `device ids take exactly the hub's characters`() {
    let accepted = accepted { (try? DeviceID($0)) != nil }
    #expect(accepted == sorted(Self.alphanumerics + "-.+%_#*?!(),=@$'"))
  }

  @Test func `message ids take exactly the hub's characters`() {
    let accepted = accepted { (try? MessageID($0)) != nil }
    #expect(accepted == sorted(Self.alphanumerics + "-:.+%_#*?!(),=@;$'/\\"))
  }

  @Test func `group names take letters, digits and three signs, or are the standard one`() throws {
    let accepted = accepted { (try? GroupName($0)) != nil }
    #expect(accepted == sorted(Self.alphanumerics + "-._"))
    // A variable: a name in quotes would be a literal, which traps instead of throwing.
    let standard = "$Default"
    #expect(try GroupName(standard) == .standard)
    #expect(throws: InvalidIdentifier.self) { try GroupName(standard.lowercased()) }
  }

  @Test func `names have a least and a greatest size`() throws {
    let longest = String(repeating: "x", count: 128)
    #expect(try DeviceID(longest).size == 128)
    #expect(try MessageID(longest).text == longest)
    #expect(try GroupName(String(repeating: "g", count: 50)).text.count == 50)
    #expect(throws: InvalidIdentifier.self) { try DeviceID(longest + "x") }
    #expect(throws: InvalidIdentifier.self) { try MessageID(longest + "x") }
    #expect(throws: InvalidIdentifier.self) { try GroupName(String(repeating: "g", count: 51)) }
    let nothing = String()
    #expect(throws: InvalidIdentifier.self) { try DeviceID(nothing) }
    #expect(throws: InvalidIdentifier.self) { try MessageID(nothing) }
    #expect(throws: InvalidIdentifier.self) { try GroupName(nothing) }
  }

  @Test func `text beyond ASCII is refused with its place`() {
    let text = "ab\u{e9}"
    let failure = #expect(throws: InvalidIdentifier.self) { try DeviceID(text) }
    #expect(failure?.kind == "device id")
    #expect(failure?.problem.hasPrefix("byte 195 at 2 is not allowed") == true)
  }

  @Test func `bytes that are used where they lie have an id's hash or its refusal`() throws {
    let texts = (0..<256).map { Array("device-1".utf8) + [UInt8($0)] }
    for bytes in texts + [[], Array(repeating: 120, count: 128), Array(repeating: 120, count: 129)]
    {
      let (id, hash) = (
        Result { try DeviceID(utf8: bytes.span) },
        Result { try DeviceID.checkedHash(of: bytes.span.bytes) }
      )
      switch (id, hash) {
      case (.success(let id), .success(let hash)): #expect(id.hash == hash)
      case (.failure(let left as InvalidIdentifier), .failure(let right as InvalidIdentifier)):
        #expect(left == right)
      default: Issue.record("\(bytes): \(id) but \(hash)")
      }
    }
  }

  @Test func `what two spans share ends at the first byte that differs`() {
    for size in 0...40 {
      let bytes = (0..<size).map { UInt8($0) }
      for place in 0..<size {
        var other = bytes
        other[place] ^= 0x80
        #expect(bytes.span.bytes.sharedPrefix(with: other.span.bytes) == place)
        let shorter = Array(bytes[..<place])
        #expect(bytes.span.bytes.sharedPrefix(with: shorter.span.bytes) == place)
        #expect(shorter.span.bytes.sharedPrefix(with: bytes.span.bytes) == place)
      }
      #expect(bytes.span.bytes.sharedPrefix(with: bytes.span.bytes) == size)
    }
  }

  @Test(arguments: [1, 2, 7, 8, 9, 15, 16, 17, 100, 128])
  func `a device id knows its own bytes from all that differ in one`(size: Int) throws {
    var bytes = (0..<size).map { UInt8(ascii: "a") + UInt8($0 % 26) }
    let id = try DeviceID(utf8: bytes.span)
    func has(_ bytes: [UInt8]) -> Bool { id.hasBytes(bytes.span.bytes) }
    #expect(has(bytes))
    #expect(!has(bytes.dropLast()))
    #expect(!has(bytes + [0]))
    for place in bytes.indices {
      bytes[place] ^= 1
      #expect(!has(bytes), "byte \(place) differs")
      bytes[place] ^= 1
    }
  }

  @Test func `device ids are equal and ordered by their bytes`() throws {
    let first: DeviceID = "alpha"
    let again = try DeviceID(utf8: Array("alpha".utf8).span)
    #expect(first == again && first.hashValue == again.hashValue)
    #expect(Set([first, again, "beta"]).count == 2)
    let ids: [DeviceID] = ["b", "a", "B", "ab", "a-", "aa"]
    #expect(ids.sorted().map(\.description) == ["B", "a", "a-", "aa", "ab", "b"])
    #expect(first.utf8 == Array("alpha".utf8))
  }
}

@Suite struct PartitionTests {
  /// Made with another implementation; they must never change (format-spec §7).
  static let vectors: [(DeviceID, UInt64, Int, Int)] = [
    ("a", 0x82a2_a958_a9be_ce5b, 3, 603),
    ("thermo-1", 0xd651_6da0_21b9_2036, 2, 54),
    ("thermo-2", 0xbac8_80ec_dc49_0fc3, 3, 963),
    ("Device_42", 0x4007_e715_85ca_808b, 3, 139),
    ("sensor.7%east#3", 0x5a12_525c_2d8d_c7ef, 3, 1_007),
  ]

  @Test func `the partition hash never changes`() {
    for (device, hash, ofFour, ofMost) in Self.vectors {
      #expect(device.hash == hash, "\(device)")
      #expect(PartitionID(of: device, partitionCount: 4).number == ofFour)
      #expect(PartitionID(of: device, partitionCount: 1_024).number == ofMost)
      #expect(PartitionID(of: device, partitionCount: 1).number == 0)
    }
  }

  @Test func `devices spread evenly over partitions`() throws {
    var counts = [Int](repeating: 0, count: 16)
    for number in 0..<16_000 {
      counts[PartitionID(of: try DeviceID("dev-\(number)"), partitionCount: 16).number] += 1
    }
    // Six standard deviations around a thousand.
    #expect(counts.allSatisfy { (816...1_184).contains($0) }, "\(counts)")
  }

  @Test func `positions print as partition and number`() {
    #expect(LogPosition(partition: 3, offset: 18_204).description == "p3@18204")
    #expect(Checkpoint(partition: 0, next: 7).description == "p0@7")
  }
}
