internal import StorageIO

extension SimulatedInode {
  /// A disk writes a sector whole or not at all.
  static let sectorSize = 512

  /// What lies in space that a lost write had been given, as far as the length says it exists.
  enum Filler: CaseIterable {
    /// The length does not reach it.
    case absent
    case zeros
    case garbage
    /// Bytes of another file, at the same position: valid there, wrong here.
    case stale
  }

  /// The bytes a power loss might leave: each unsynced change whole, in part by sectors, or not.
  func contents(
    using random: inout SeededRandom, keepingPercent percent: Int, stale: PagedBytes
  ) -> PagedBytes {
    guard !unsynced.isEmpty else { return durable }
    // Half of all losses are the ordinary ones; the rest shares itself among the evil ones.
    let filler = random.chance(percent: 50) ? Filler.absent : Filler.allCases[random.below(4)]
    var result = durable
    for change in unsynced {
      switch change.kind {
      case .resize(let size):
        if random.chance(percent: percent) { result.resize(to: size) }
      case .write(let position, let bytes):
        if random.chance(percent: 35) {
          for sector in Self.sectors(position, bytes.count) {
            if random.chance(percent: percent) {
              let start = sector.lowerBound - position
              result.write(Array(bytes[start..<(start + sector.count)]), at: sector.lowerBound)
            } else {
              Self.fill(&result, sector, filler, stale, &random)
            }
          }
        } else if random.chance(percent: percent) {
          result.write(bytes, at: position)
        } else {
          Self.fill(&result, position..<(position + bytes.count), filler, stale, &random)
        }
      }
    }
    return result
  }

  /// A range of the file cut at sector boundaries.
  static func sectors(_ position: Int, _ count: Int) -> [Range<Int>] {
    var result: [Range<Int>] = []
    var start = position
    while start < position + count {
      let end = min((start / sectorSize + 1) * sectorSize, position + count)
      result.append(start..<end)
      start = end
    }
    return result
  }

  /// Extends a file over a lost write; bytes it had before stay as they were.
  private static func fill(
    _ contents: inout PagedBytes, _ range: Range<Int>, _ filler: Filler, _ stale: PagedBytes,
    _ random: inout SeededRandom
  ) {
    guard filler != .absent, range.upperBound > contents.count else { return }
    let start = max(range.lowerBound, contents.count)
    contents.resize(to: range.upperBound)
    switch filler {
    case .absent, .zeros: break
    case .garbage: contents.write(random.bytes(range.upperBound - start), at: start)
    case .stale: contents.write(stale.slice(start..<range.upperBound), at: start)
    }
  }
}
