import ConsumerCheckpoints
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// A damaged checkpoint means an older one: events come twice, never not at all.
@Suite struct CheckpointDamageTests {
  private let groups: [GroupName] = ["a", "b", "c"]

  /// Each group commits 10, then 20; the process is killed.
  private func written() throws -> [UInt8] {
    let fileSystem = MemoryFileSystem(files: Checkpoints.begun)
    let log = try Checkpoints.open(on: fileSystem)
    for next in [10, 20] as [UInt64] {
      for group in groups { try log.commit([Checkpoints.entry(group, 0, next)]) }
    }
    return try #require(fileSystem.image[Checkpoints.path])
  }

  private func memory(_ bytes: [UInt8]) -> MemoryFileSystem {
    MemoryFileSystem(files: [Checkpoints.path: bytes])
  }

  private func quarantine(_ fileSystem: MemoryFileSystem) -> [[UInt8]] {
    fileSystem.image.filter { $0.key.string.contains("/quarantine/") }.map(\.value)
  }

  @Test("Any byte flipped, or any length cut: a checkpoint as it once was, or none, and a report")
  func sweep() throws {
    let bytes = try written()
    var damaged: [(bytes: [UInt8], place: String)] = []
    for position in bytes.indices {
      var copy = bytes
      copy[position] ^= 0x41
      damaged.append((copy, "flipped at \(position)"))
      damaged.append((Array(bytes[..<position]), "cut to \(position)"))
    }
    for (bytes, place) in damaged {
      let image: CheckpointImage
      do throws(CheckpointFailure) {
        image = try Checkpoints.read(memory(bytes))
      } catch {
        Issue.record("\(place): \(error)")
        continue
      }
      for group in groups {
        let found = image.table.checkpoint(of: group, in: 0)
        #expect(found == nil || found == 10 || found == 20, "\(place)")
      }
    }
  }

  @Test("Damage is reported; the next commit keeps the old file and begins anew")
  func damagedFrame() throws {
    var bytes = try written()
    let frames = try Checkpoints.frames(bytes)
    try #require(frames.count == 8, "a mark, an epoch, and the commits")
    bytes[frames[5].position + 64 + 3] ^= 0xff
    bytes[frames[5].position + 64 + 9] ^= 0xff
    let fileSystem = memory(bytes)
    let image = try Checkpoints.read(fileSystem)
    #expect(image.findings.map(\.position) == [frames[5].position])
    // A group that nobody knows of any more may have been in it.
    #expect(image.table.loss != nil && image.table.smallest(in: 0) == 0)
    #expect(groups.map { image.table.checkpoint(of: $0, in: 0) } == [10, 20, 20])
    let log = try Checkpoints.open(on: fileSystem, seed: 2)
    #expect(fileSystem.image[Checkpoints.path] == bytes)
    try log.commit([Checkpoints.entry("a", 0, 30)])
    #expect(quarantine(fileSystem) == [bytes])
    let after = try Checkpoints.read(fileSystem)
    #expect(after.findings.isEmpty)
    #expect(groups.map { after.table.checkpoint(of: $0, in: 0) } == [30, 20, 20])
    #expect(log.table.smallest(in: 0) == 0 && after.table.smallest(in: 0) == 20)
  }

  /// One bit took all groups away, and nothing held retention back any more.
  @Test("A flipped bit of the header costs nothing", arguments: 0..<FileHeader.size)
  func healedHeader(_ index: Int) throws {
    let whole = try written()
    for bit in 0..<8 {
      var bytes = whole
      bytes[index] ^= 1 << UInt8(bit)
      let fileSystem = memory(bytes)
      let image = try Checkpoints.read(fileSystem)
      #expect(image.table == (try Checkpoints.read(memory(whole)).table))
      #expect(image.findings.map(\.position) == [0])
      let log = try Checkpoints.open(on: fileSystem, seed: 2)
      try log.commit([Checkpoints.entry("a", 0, 30)])
      #expect(quarantine(fileSystem) == [bytes])
      #expect(try Checkpoints.read(fileSystem).table == log.table)
    }
  }

  /// It was taken for a file that is not there, and `fsck` followed it.
  @Test("What is no file is told, as if its groups were lost")
  func noFile() throws {
    let fileSystem = MemoryFileSystem(files: [:], directories: [Checkpoints.path])
    let image = try Checkpoints.read(fileSystem)
    #expect(image.table.loss?.contains("CHECKPOINTS") == true && image.header == nil)
  }

  /// A file without commits was one that has just been begun, and one that is not there the same.
  @Test("A file that lost everything says so, one that has just been made does not")
  func everythingLost() throws {
    let bytes = try written()
    let header = Array(bytes[..<FileHeader.size])
    let zeros = [UInt8](repeating: 0, count: bytes.count - header.count)
    for lost in [[], header, header + zeros] {
      #expect(try Checkpoints.read(memory(lost)).table.loss != nil)
    }
    let begun = try #require(Checkpoints.begun[Checkpoints.path])
    for whole in [bytes, begun] { #expect(try Checkpoints.read(memory(whole)).table.loss == nil) }
    // A group that is deleted last leaves a file without any.
    let fileSystem = memory(bytes)
    let log = try Checkpoints.open(on: fileSystem)
    try log.commit(groups.map { .groupDeleted($0, at: Timestamp(microseconds: 0)) })
    #expect(try Checkpoints.read(fileSystem).table.loss == nil)
  }

  @Test("A file that is gone is told until the next commit makes one")
  func gone() throws {
    let fileSystem = MemoryFileSystem(files: [:], directories: [Checkpoints.root])
    let log = try Checkpoints.open(on: fileSystem)
    #expect(log.table.loss != nil && log.table.groups.isEmpty && log.table.smallest(in: 0) == 0)
    #expect(fileSystem.image.isEmpty)
    try log.commit([Checkpoints.entry("a", 0, 1)])
    let after = try Checkpoints.read(fileSystem)
    #expect(after.findings.isEmpty && after.table.checkpoint(of: "a", in: 0) == 1)
  }

  @Test("A torn commit is cut and kept, and the ones before it stand")
  func tornCommit() throws {
    var bytes = try written()
    let frames = try Checkpoints.frames(bytes)
    bytes.removeSubrange((frames[7].position + 40)...)
    let fileSystem = memory(bytes)
    let log = try Checkpoints.open(on: fileSystem, seed: 2)
    #expect(groups.map { log.table.checkpoint(of: $0, in: 0) } == [20, 20, 10])
    try log.commit([Checkpoints.entry("c", 0, 15)])
    // The zeros behind the last byte that is none were never written.
    let end = try #require(bytes.lastIndex { $0 != 0 }) + 1
    #expect(quarantine(fileSystem) == [Array(bytes[frames[7].position..<end])])
    let after = try Checkpoints.read(fileSystem)
    #expect(after.findings.isEmpty && after.table == log.table)
    #expect(groups.map { after.table.checkpoint(of: $0, in: 0) } == [20, 20, 15])
  }

  @Test(
    "Without a header, or with another store's, every group begins anew", arguments: [true, false])
  func lostHeader(_ isDamaged: Bool) throws {
    var bytes = try written()
    if isDamaged {
      for index in 50..<60 { bytes[index] = 0 }
    } else {
      var header = FileHeader(
        kind: .checkpoints, storeID: StoreID(high: 1, low: 2), fileID: 0, salt: 3,
        created: Timestamp(microseconds: 0))
      header.baseNumber = 0
      var encoded = ByteBuffer(capacity: FileHeader.size)
      header.encode(into: &encoded)
      bytes.replaceSubrange(..<FileHeader.size, with: encoded.array(0..<FileHeader.size))
    }
    let fileSystem = memory(bytes)
    let log = try Checkpoints.open(on: fileSystem, seed: 2)
    #expect(log.table.groups.isEmpty)
    try log.commit([Checkpoints.entry("a", 0, 1)])
    #expect(quarantine(fileSystem) == [bytes])
    #expect(try Checkpoints.read(fileSystem).table.groups == log.table.groups)
  }

  /// A newer program's checkpoints were moved to the quarantine as if they were damaged.
  @Test("A later program's file is unsupported: nobody touches it")
  func unsupported() throws {
    for (offset, flags) in [(8, UInt32(2)), (12, 1), (16, 1)] {
      let bytes = try written()
      var header = ByteBuffer(capacity: FileHeader.size)
      header.append(Array(bytes[..<FileHeader.size]))
      if offset == 8 {
        header.store(FileHeader.version + 1, at: offset)
      } else {
        header.store(flags, at: offset)
      }
      let checksum = header.withBytes(0..<FileHeader.size - 4) { CRC32C.checksum($0) }
      header.store(checksum, at: FileHeader.size - 4)
      let later = header.array(0..<FileHeader.size) + bytes[FileHeader.size...]
      let fileSystem = memory(later)
      do throws(CheckpointFailure) {
        _ = try Checkpoints.open(on: fileSystem, seed: 2)
        Issue.record("opened with flags at \(offset)")
      } catch {
        guard case .format(Checkpoints.path, position: 0, let cause) = error else {
          Issue.record("\(error)")
          continue
        }
        #expect(
          cause
            == (offset == 8
              ? .unsupportedVersion(found: FileHeader.version + 1, newest: FileHeader.version)
              : .unsupportedFeatures(1)))
      }
      #expect(fileSystem.image == [Checkpoints.path: later])
    }
  }
}
