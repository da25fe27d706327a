import EventModel
import LogFormat
import LogInspection
import StorageIO
import SystemPackage
import Testing

/// Damages a small store in every place and asks what inspection makes of it.
@Suite("Damage in every place")
struct DamageSweepTests {
  struct Seen {
    /// Bodies by number, for each partition.
    var bodies: [[UInt64: String]] = [[:], [:]]
    var damages: [Damage] = []
  }

  static func dump(_ fileSystem: MemoryFileSystem) throws -> Seen {
    var seen = Seen()
    try StoreInspector(SampleStore.root, fileSystem: fileSystem).walk { item in
      switch item {
      case .record(let record):
        let body = String(decoding: record.body.bytes, as: UTF8.self)
        seen.bodies[Int(record.partition)][record.sequenceNumber] = body
      case .damage(let damage): seen.damages.append(damage)
      default: break
      }
      return .goOn
    }
    return seen
  }

  /// What holds whatever was damaged: nothing is made up, and nothing proven is missing unsaid.
  private func expectHonest(_ store: SampleStore, _ damaged: SampleStore, _ what: String) throws {
    let fileSystem = damaged.fileSystem
    let image = fileSystem.image
    let seen = try Self.dump(fileSystem)
    let result = try Fsck.check(SampleStore.root, fileSystem: fileSystem)
    let statistics = try StoreStatistics.collect(SampleStore.root, fileSystem: fileSystem)
    #expect(statistics.partitions.count <= 2, "\(what)")
    var missing = 0
    for (partition, bodies) in store.bodies.enumerated() {
      for (number, body) in bodies.enumerated() {
        let found = seen.bodies[partition][UInt64(number)]
        if found == nil { missing += 1 }
        #expect(found == nil || found == body, "\(what): event \(number) has changed")
      }
      #expect(seen.bodies[partition].keys.allSatisfy { $0 < bodies.count }, "\(what)")
    }
    if missing > 0 {
      #expect(!result.clean, "\(what): \(missing) events are missing unsaid")
      #expect(!seen.damages.isEmpty, "\(what): the dump shows no damage")
      let lost = result.findings.compactMap(\.acknowledgedLoss).reduce(into: Set<[UInt64]>()) {
        for number in $1.firstSequence..<$1.nextSequence {
          $0.insert([UInt64($1.partition), number])
        }
      }
      #expect(lost.count == missing, "\(what): \(lost.count) of \(missing) losses are stated")
    }
    #expect(fileSystem.image == image, "\(what): inspection has written")
  }

  /// Every place in a release build; without optimisation a sample of them is slow enough.
  #if DEBUG
    private static let step = 29
  #else
    private static let step = 1
  #endif

  private static let targets = ["manifest", "checkpoints", "sealed", "active", "other", "index"]

  private func path(_ target: String, _ store: SampleStore) throws -> FilePath {
    switch target {
    case "manifest": return SampleStore.manifest
    case "checkpoints": return SampleStore.checkpoints
    case "sealed": return store.sealed
    case "active": return store.active
    case "other": return store.other
    default:
      let stem = try #require(store.sealed.lastComponent?.stem)
      return store.sealed.removingLastComponent().appending(stem + FileNames.indexSuffix)
    }
  }

  @Test("A flipped bit anywhere is found or changes nothing, and never traps", arguments: targets)
  func flips(target: String) throws {
    let store = try SampleStore()
    let path = try path(target, store)
    let bytes = try #require(store.files[path])
    for index in stride(from: 0, to: bytes.count, by: Self.step) {
      var damaged = store
      damaged.files[path]?[index] ^= 1 << UInt8((index * 5 + 3) % 8)
      try expectHonest(store, damaged, "\(target), byte \(index)")
    }
  }

  @Test("A file cut at any length never traps, and what is gone is stated", arguments: targets)
  func cuts(target: String) throws {
    let store = try SampleStore()
    let path = try path(target, store)
    let bytes = try #require(store.files[path])
    for size in stride(from: 0, to: bytes.count, by: Self.step) {
      var damaged = store
      damaged.files[path] = Array(bytes[..<size])
      try expectHonest(store, damaged, "\(target), cut to \(size)")
    }
  }

  @Test("A zeroed block anywhere never traps, and what is gone is stated", arguments: targets)
  func zeros(target: String) throws {
    let store = try SampleStore()
    let path = try path(target, store)
    let bytes = try #require(store.files[path])
    for start in stride(from: 0, to: bytes.count, by: 64) {
      var damaged = store
      for index in start..<min(start + 128, bytes.count) { damaged.files[path]?[index] = 0 }
      try expectHonest(store, damaged, "\(target), zeros from \(start)")
    }
  }
}
