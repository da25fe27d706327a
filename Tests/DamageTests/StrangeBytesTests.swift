import CommitLog
import EventModel
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Bytes that were written somewhere, only not here or not now (I5).
@Suite("Bytes that belong elsewhere")
struct StrangeBytesTests {
  private static let sector = 512

  @Test(
    "A sector that is zero, another one or there twice shows no event that was not written",
    arguments: CanonicalStore.Ending.allCases)
  func sectors(_ ending: CanonicalStore.Ending) throws {
    let sweep = DamageSweep(try CanonicalStore(ending), isWide: true)
    try sweep.expectHonest { _, bytes -> [DamageSweep.Damaged] in
      let sectors = Array(stride(from: 0, to: bytes.count, by: Self.sector))
      func sector(_ start: Int) -> Range<Int> { start..<min(start + Self.sector, bytes.count) }
      return sectors.flatMap { start -> [DamageSweep.Damaged] in
        var zeroed = bytes
        for index in sector(start) { zeroed[index] = 0 }
        return [("sector \(start) zeroed", zeroed)]
          + sectors.filter { $0 != start }.flatMap { other -> [DamageSweep.Damaged] in
            var copied = bytes
            copied.replaceSubrange(sector(start), with: bytes[sector(other)])
            var swapped = copied
            if sector(start).count == sector(other).count {
              swapped.replaceSubrange(sector(other), with: bytes[sector(start)])
            }
            return [
              ("sector \(other) also at \(start)", copied),
              ("sectors \(start) and \(other) swapped", swapped),
            ]
          }
      }
    }
  }

  @Test("A frame of another file, or of another place, is never taken for one of this place")
  func splices() throws {
    let store = try CanonicalStore(.killedIdle)
    var frames: [[UInt8]] = []
    var places: [String: [Int]] = [:]
    try StoreInspector(CanonicalStore.root, fileSystem: store.fileSystem).walk { item in
      guard case .frame(let frame) = item else { return .goOn }
      let file = store.files[CanonicalStore.root.appending(frame.file)] ?? []
      frames.append(Array(file[frame.position..<frame.frame.end]))
      places[frame.file, default: []].append(frame.position)
      return .goOn
    }
    let sweep = DamageSweep(store, isWide: true)
    try sweep.expectHonest { path, bytes -> [DamageSweep.Damaged] in
      let name = path.string.dropFirst(CanonicalStore.root.string.count + 1)
      return (places[String(name)] ?? []).flatMap { place in
        frames.enumerated().map { number, frame in
          var damaged = bytes
          let end = min(place + frame.count, bytes.count)
          damaged.replaceSubrange(place..<end, with: frame[..<(end - place)])
          return ("frame \(number) at \(place)", damaged)
        }
      }
    }
  }

  /// A disk that lost a write shows what stood there before: checksums hold, the epoch does not.
  @Test("A frame that was cut is not taken for the one written over it")
  func earlierGeneration() throws {
    let before = try CanonicalStore(.killedWriting)
    let path = try #require(
      before.files.keys.filter { $0.string.contains("/001/") && $0.extension == "segment" }
        .max { $0.string < $1.string })
    let frames = try Self.frames(path, before.fileSystem)
    let (cut, left) = (try #require(frames.dropLast().last), try #require(frames.last))
    var torn = try #require(before.files[path])
    for index in cut.position..<cut.frame.end { torn[index] = 0 }
    let fileSystem = before.replacing(path, by: torn).fileSystem
    let writer = try Engine.open(fileSystem, seed: 3)
    #expect(writer.reports[1].tail?.verdict == .reorderedTail)
    let partition = writer.log.partitions[1]
    let device = before.events[1][0].deviceID
    // The first of the later frames is longer by what makes one of them begin where `left` stood.
    let filler = (left.position - cut.position) % (2 * FrameHeader.alignment)
    for number in 0..<20 where partition.snapshot.segments.last?.path == path {
      let time = Timestamp(microseconds: 1_800_000_000_000_000 + Int64(number))
      let body = "later \(number)" + Self.text(number == 0 ? filler : 0)
      let event = Event(from: device, body: Payload(body), enqueuedTime: time)
      _ = try Engine.append(event, to: partition)
    }
    let expected = try Engine.read(writer).events[1]
    try writer.log.close()
    try #require(Self.frames(path, fileSystem).contains { $0.position == left.position })
    var files = fileSystem.image
    files[path]?.replaceSubrange(
      left.position..<left.frame.end,
      with: try #require(before.files[path])[left.position..<left.frame.end])
    let stale = MemoryFileSystem(files: files, directories: fileSystem.directories)
    let spliced = try Self.frames(path, stale)
    #expect(spliced.contains { $0.position == left.position && $0.state == .stale })
    for seen in [try Engine.readOnly(stale), try Engine.read(try Engine.open(stale, seed: 4))] {
      #expect(seen.events[1].allSatisfy { expected[$0.key] == $0.value })
      #expect(!seen.lost[1].isEmpty)
      #expect(seen.lost[1].union(seen.events[1].keys) == Set(expected.keys))
    }
  }

  /// Text of `size` bytes that no codec makes shorter; at most 90.
  private static func text(_ size: Int) -> String {
    String(decoding: (0..<size).map { UInt8(33 + $0 * 37 % 90) }, as: UTF8.self)
  }

  private static func frames(
    _ path: FilePath, _ fileSystem: any FileSystem
  ) throws -> [InspectedFrame] {
    var frames: [InspectedFrame] = []
    try StoreInspector(CanonicalStore.root, fileSystem: fileSystem).walk { item in
      if case .frame(let frame) = item, path.string.hasSuffix(frame.file) { frames.append(frame) }
      return .goOn
    }
    return frames
  }
}
