import CommitLog
import EventModel
import Foundation
import LogInspection
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Whether a damaged store is whole again once it was repaired and opened.
struct RepairPredicate {
  let store: CanonicalStore
  let damaged: CanonicalStore

  struct Result {
    var violation: String?
    /// Whether every event is there again.
    var isHealed = false
  }

  func result() throws -> Result {
    let fileSystem = damaged.fileSystem
    let (before, _) = try Inspection.dump(fileSystem)
    let first = try repair(fileSystem)
    guard first.found.needsRepair || damaged.isUntouched(on: fileSystem) else {
      return Result(violation: "a store without damage was changed")
    }
    let opened = try Engine.open(fileSystem, seed: 7)
    try opened.log.close()
    let found = try Fsck.check(CanonicalStore.root, fileSystem: fileSystem)
    if let finding = found.findings.first(where: { $0.severity > .note }) {
      return Result(violation: "left: \(finding.kind.rawValue): \(finding.detail)")
    }
    let repaired = fileSystem.copy()
    guard try repair(fileSystem).repairs.isEmpty, fileSystem.isSame(as: repaired) else {
      return Result(violation: "repairing again changes something")
    }
    let (after, _) = try Inspection.dump(fileSystem)
    for (partition, events) in before.events.enumerated() {
      for (number, event) in events where after.events[partition][number] != event {
        return Result(violation: "event \(number) of \(partition) is gone or another")
      }
    }
    for (partition, events) in after.events.enumerated() {
      for (number, event) in events {
        guard number < store.events[partition].count,
          store.events[partition][Int(number)] == event
        else { return Result(violation: "event \(number) of \(partition) was never appended") }
      }
    }
    let isHealed = store.events.indices.allSatisfy {
      after.events[$0].count >= store.acknowledged[$0]
    }
    return Result(isHealed: isHealed)
  }

  private func repair(_ fileSystem: MemoryFileSystem) throws -> StoreRepair.Outcome {
    try StoreRepair.run(
      CanonicalStore.root, environment: CanonicalStore.environment(fileSystem, seed: 5))
  }
}

@Suite("Repair of a store that is damaged in any place")
struct RepairSweepTests {
  #if DEBUG
    private static let step = 97
  #else
    private static let step = 3
  #endif

  private static let endings = [CanonicalStore.Ending.closed, .killed]

  private func sweep(
    _ store: CanonicalStore, _ damages: (FilePath, [UInt8]) -> [(what: String, bytes: [UInt8]?)]
  ) throws -> (count: Int, healed: Int) {
    var tally = DamageTally()
    var (count, healed) = (0, 0)
    for (path, bytes) in store.files.sorted(by: { $0.key.string < $1.key.string }) {
      for damage in damages(path, bytes) {
        let predicate = RepairPredicate(
          store: store, damaged: store.replacing(path, by: damage.bytes))
        var violation: String?
        do {
          let result = try predicate.result()
          violation = result.violation
          count += 1
          if result.isHealed { healed += 1 }
        } catch {
          violation = "\(error)"
        }
        tally.note(damage.what, of: path, violation)
      }
    }
    tally.expectNone("repaired stores")
    return (count, healed)
  }

  @Test(
    "A flipped bit anywhere is set right, and no event is lost with it",
    arguments: DamageScope.isWhole ? CanonicalStore.Ending.allCases : endings)
  func flips(_ ending: CanonicalStore.Ending) throws {
    let (count, healed) = try sweep(try CanonicalStore(ending)) { _, bytes in
      stride(from: 0, to: bytes.count, by: DamageScope.isWhole ? 1 : Self.step).map { index in
        var damaged = bytes
        damaged[index] ^= 1 << UInt8(DamageScope.bit(ofByte: index))
        return ("a bit of byte \(index)", damaged)
      }
    }
    #expect(healed == count)
    print("counted: \(healed) flipped bits set right by repair")
    fflush(nil)
  }

  @Test(
    "Whatever is zeroed, cut or gone, the rest stays and the store is whole again",
    arguments: endings)
  func wide(_ ending: CanonicalStore.Ending) throws {
    _ = try sweep(try CanonicalStore(ending)) { _, bytes in
      let zeroed = stride(from: 0, to: bytes.count, by: 8 * Self.step).map { start in
        var damaged = bytes
        for index in start..<min(bytes.count, start + 200) { damaged[index] = 0 }
        return ("zeros from \(start)", Optional(damaged))
      }
      let cut = stride(from: 0, to: bytes.count, by: 8 * Self.step).map {
        ("cut to \($0)", Optional(Array(bytes[..<$0])))
      }
      return zeroed + cut + [("nothing there", nil)]
    }
  }
}
